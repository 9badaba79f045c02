"""The application's own probes, performed inside the pod in the kubelet's stead."""
