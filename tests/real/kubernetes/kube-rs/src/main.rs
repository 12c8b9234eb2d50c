//! Lists the pods of the kubeconfig's current context, so many times with one client.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::try_default().await?;
    let times = std::env::args().nth(1).map_or(Ok(1), |word| word.parse())?;
    for _ in 0..times {
        for pod in Api::<Pod>::default_namespaced(client.clone()).list(&ListParams::default()).await? {
            println!("{}", pod.metadata.name.unwrap_or_default());
        }
    }
    Ok(())
}
