// Lists the pods of the kubeconfig's current context: node client.mjs [TIMES]

import { CoreV1Api, KubeConfig } from "@kubernetes/client-node";

const config = new KubeConfig();
config.loadFromFile(process.env.KUBECONFIG);
const api = config.makeApiClient(CoreV1Api);
for (let times = Number(process.argv[2] ?? 1); times > 0; times--) {
  const pods = await api.listNamespacedPod({ namespace: "default" });
  for (const pod of pods.items) console.log(pod.metadata.name);
}
