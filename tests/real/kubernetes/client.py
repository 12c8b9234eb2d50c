"""Lists the pods of the kubeconfig's current context with one Python library.

    python client.py LIBRARY [TIMES]

One client is made, and it lists them so many times.
"""

import asyncio
import os
import sys

KUBECONFIG = os.environ["KUBECONFIG"]


def kubernetes(times):
    from kubernetes import client, config

    config.load_kube_config()
    api = client.CoreV1Api()
    for _ in range(times):
        yield from (pod.metadata.name for pod in api.list_namespaced_pod("default").items)


def kubernetes_asyncio(times):
    from kubernetes_asyncio import client, config

    async def names():
        await config.load_kube_config()
        async with client.ApiClient() as api:
            pods = client.CoreV1Api(api)
            return [pod.metadata.name for _ in range(times) for pod in (await pods.list_namespaced_pod("default")).items]

    return asyncio.run(names())


def kr8s(times):
    import kr8s

    api = kr8s.api(kubeconfig=KUBECONFIG)
    for _ in range(times):
        yield from (pod.name for pod in api.get("pods", namespace="default"))


def lightkube(times):
    from lightkube import Client, KubeConfig
    from lightkube.resources.core_v1 import Pod

    client = Client(config=KubeConfig.from_file(KUBECONFIG), namespace="default")
    for _ in range(times):
        yield from (pod.metadata.name for pod in client.list(Pod))


def pykube(times):
    import pykube

    api = pykube.HTTPClient(pykube.KubeConfig.from_file(KUBECONFIG))
    for _ in range(times):
        yield from (pod.name for pod in pykube.Pod.objects(api).filter(namespace="default"))


if __name__ == "__main__":
    library, *times = sys.argv[1:]
    for name in globals()[library](int(times[0]) if times else 1):
        print(name)
