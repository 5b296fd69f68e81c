//! The image that `tests/cluster/image` made, as the node has it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::harness::{Cluster, NodeKind, Outcome, Space};

const IMAGE: &str = "migration-warden:dev";

/// What was put in, not what a running container shows: that has the kubelet's mounts as well.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn it_holds_the_program_and_nothing_else() {
    let cluster = Cluster::get();
    cluster.wants(NodeKind::Real);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let archive = folder.join("image.tar");
    let mut export = cluster.ctr();
    export.args(["images", "export"]).arg(&archive);
    export.arg(format!("docker.io/library/{IMAGE}"));
    Outcome::of(&mut export, "").succeeds();
    tar("-xf", &archive, folder);

    let index = json_in(&folder.join("index.json"));
    let manifest = json_in(&blob(folder, &index["manifests"][0]));
    let config = json_in(&blob(folder, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/migration-warden"]));
    let version = &config["config"]["Labels"]["org.opencontainers.image.version"];
    assert_eq!(version, env!("CARGO_PKG_VERSION"));

    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    let listed = tar("-tf", &blob(folder, &layers[0]), folder);
    assert_eq!(listed, "migration-warden\n");
    let size = layers[0]["size"].as_u64().unwrap();
    assert!(size < 17 << 20, "the image has {size} bytes");
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn it_serves_where_pods_are_restricted() {
    let space = Space::on(NodeKind::Real);
    space.label("pod-security.kubernetes.io/enforce=restricted");
    // Without `runAsUser`, so that the kubelet has to take the image's own.
    let pod = format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: warden}}
spec:
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: serve
    image: {IMAGE}
    imagePullPolicy: Never
    args: [serve]
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {{drop: [ALL]}}
    readinessProbe: {{httpGet: {{path: /readyz, port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: tls, mountPath: /certs/dev}}]
  volumes: [{{name: tls, emptyDir: {{}}}}]
"
    );
    space.kubectl_with(&["create", "-f", "-"], &pod).succeeds();
    space
        .kubectl(&[
            "wait",
            "pod/warden",
            "--for=condition=Ready",
            "--timeout=30s",
        ])
        .succeeds();
    let path = format!(
        "/api/v1/namespaces/{}/pods/warden:8080/proxy/version",
        space.name()
    );
    let version = space.kubectl(&["get", "--raw", &path]).succeeds().json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

/// Where an archive keeps what this descriptor names.
fn blob(folder: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    folder.join("blobs").join(digest.replace(':', "/"))
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn tar(mode: &str, archive: &Path, folder: &Path) -> String {
    let mut tar = Command::new("tar");
    tar.arg(mode).arg(archive).arg("-C").arg(folder);
    Outcome::of(&mut tar, "").succeeds().stdout.clone()
}
