//! The example that users start from: nginx, the repository that has it and the Kustomization that applies it.

/// `nginx/deployment.yaml` of the repository.
pub fn nginx(replicas: u32, image: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: nginx-deployment
  labels:
    app: nginx
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: nginx
  template:
    metadata:
      labels:
        app: nginx
    spec:
      containers:
      - name: nginx
        image: {image}
        ports:
        - containerPort: 80
"
    )
}

/// The GitRepository `my-app-repo`, which has `url`, and the Kustomization `nginx-app`, in `flux-system`.
/// The intervals are those of the first and of the second.
pub fn toolkit_objects(version: &str, url: &str, intervals: [&str; 2]) -> String {
    let [source_interval, interval] = intervals;
    format!(
        "\
apiVersion: source.toolkit.fluxcd.io/{version}
kind: GitRepository
metadata:
  name: my-app-repo
  namespace: flux-system
spec:
  interval: {source_interval}
  url: {url}
  ref:
    branch: main
---
apiVersion: kustomize.toolkit.fluxcd.io/{version}
kind: Kustomization
metadata:
  name: nginx-app
  namespace: flux-system
spec:
  interval: {interval}
  path: ./nginx
  prune: true
  sourceRef:
    kind: GitRepository
    name: my-app-repo
  targetNamespace: default
"
    )
}
