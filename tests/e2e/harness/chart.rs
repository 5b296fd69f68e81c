//! Charts for the tests: one good one, with one thing changed.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use super::{Helm, Space};

/// The product's own chart.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/migration-warden");

/// The guide's pattern, with the label that marks a migration Job.
const JOB: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}"
  labels:
    app.kubernetes.io/component: migration
    app.kubernetes.io/instance: "{{ .Release.Name }}"
  annotations:
    "helm.sh/hook": pre-install,pre-upgrade
    "helm.sh/hook-delete-policy": before-hook-creation,hook-succeeded
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: rig.local/busybox:1
          imagePullPolicy: Never
          command: [/bin/busybox, sh, -c, "echo migrated"]
  backoffLimit: 0
  activeDeadlineSeconds: 600
"#;

/// The Job of the Atlas guide "Deploying schema migrations to Kubernetes with Helm", its values filled in.
const GUIDE: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  # job name should include a unix timestamp to make sure it's unique
  name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}"
  labels:
    helm.sh/chart: "e2e-0.1.0"
  annotations:
    "helm.sh/hook": pre-install,pre-upgrade
    "helm.sh/hook-delete-policy": before-hook-creation,hook-succeeded
spec:
  template:
    metadata:
      name: "{{ .Release.Name }}-create-tables"
      labels:
        app.kubernetes.io/managed-by: "Helm"
        app.kubernetes.io/instance: "{{ .Release.Name }}"
        helm.sh/chart: "e2e-0.1.0"
    spec:
      restartPolicy: Never
      imagePullSecrets:
        - name: registry
      containers:
        - name: atlas-migrate
          image: registry.example/app:1.0.0
          args:
            - migrate
            - apply
            - -u
            - mysql://db:3306/app
            - --dir
            - file:///src/
"#;

/// What the migration is for: something of each revision's own, and something with pods.
const APP: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {version: "{{ .Values.version }}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata:
      labels: {app: "{{ .Release.Name }}"}
      annotations: {version: "{{ .Values.version }}"}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: rig.local/busybox:1
          imagePullPolicy: Never
          command: [/bin/busybox, sleep, "3600"]
"#;

/// A chart with one migration Job and an application.
#[derive(Clone)]
pub(crate) struct Chart {
    job: String,
}

/// One way to break one of the guide's four rules.
pub(crate) struct Breach {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    from: &'static str,
    to: &'static str,
    /// What the message must say to write instead.
    pub(crate) remedy: &'static str,
}

pub(crate) const UNTIMESTAMPED_NAME: Breach = Breach {
    id: "MW001",
    name: "untimestamped-name",
    from: "-migrate-{{ now | unixEpoch }}",
    to: "-migrate",
    remedy: "{{ now | unixEpoch }}",
};

pub(crate) const MISSING_HOOK: Breach = Breach {
    id: "MW002",
    name: "missing-hook",
    from: "pre-install,pre-upgrade",
    to: "pre-install",
    remedy: "pre-install,pre-upgrade",
};

pub(crate) const WRONG_DELETE_POLICY: Breach = Breach {
    id: "MW003",
    name: "wrong-delete-policy",
    from: "before-hook-creation,hook-succeeded",
    to: "before-hook-creation",
    remedy: "before-hook-creation,hook-succeeded",
};

pub(crate) const RESTARTING_POD: Breach = Breach {
    id: "MW004",
    name: "restarting-pod",
    from: "restartPolicy: Never",
    to: "restartPolicy: OnFailure",
    remedy: "Never",
};

/// The guide's four rules, each broken.
pub(crate) const BREACHES: [Breach; 4] = [
    UNTIMESTAMPED_NAME,
    MISSING_HOOK,
    WRONG_DELETE_POLICY,
    RESTARTING_POD,
];

impl Breach {
    /// The good chart with only this wrong.
    pub(crate) fn chart(&self) -> Chart {
        Chart::good().with(self.from, self.to)
    }
}

impl Chart {
    pub(crate) fn good() -> Self {
        Self {
            job: JOB.to_owned(),
        }
    }

    /// The guide's own Job, which nothing marks as a migration but what it looks like.
    pub(crate) fn guide() -> Self {
        Self {
            job: GUIDE.to_owned(),
        }
    }

    /// All four rules broken at once.
    pub(crate) fn broken() -> Self {
        BREACHES.iter().fold(Self::good(), |chart, breach| {
            chart.with(breach.from, breach.to)
        })
    }

    /// Changes one thing of the Job, which must be there once.
    #[track_caller]
    pub(crate) fn with(self, from: &str, to: &str) -> Self {
        assert_eq!(
            self.job.matches(from).count(),
            1,
            "{from:?} must be there once"
        );
        Self {
            job: self.job.replace(from, to),
        }
    }

    /// Adds the same migration under another name.
    pub(crate) fn and_another(self) -> Self {
        let another = self.job.replace("-migrate-", "-seed-");
        Self {
            job: format!("{}---\n{another}", self.job),
        }
    }

    /// Takes the lines with this text out of the Job.
    #[track_caller]
    pub(crate) fn without(self, text: &str) -> Self {
        assert!(self.job.contains(text), "{text:?} must be there");
        let lines = self.job.lines().filter(|line| !line.contains(text));
        Self {
            job: lines.flat_map(|line| [line, "\n"]).collect(),
        }
    }

    /// The chart's files.
    pub(crate) fn write(&self) -> TempDir {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        fs::create_dir(path.join("templates")).unwrap();
        fs::write(
            path.join("Chart.yaml"),
            "apiVersion: v2\nname: e2e\nversion: 0.1.0\n",
        )
        .unwrap();
        fs::write(path.join("values.yaml"), "version: 1\n").unwrap();
        fs::write(path.join("templates/app.yaml"), APP).unwrap();
        fs::write(path.join("templates/migrate.yaml"), &self.job).unwrap();
        dir
    }

    /// The Job alone, as Helm would render it now.
    pub(crate) fn render(&self, release: &str) -> String {
        self.job
            .replace("{{ .Release.Name }}", release)
            .replace("{{ now | unixEpoch }}", &epoch().to_string())
    }
}

/// Now, as `{{ now | unixEpoch }}` writes it.
pub(crate) fn epoch() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Creates the chart's `ClusterRole` whose name ends in this, under the namespace's name.
pub(crate) fn chart_role(space: &Space, suffix: &str) {
    let args = [
        "template",
        "release",
        CHART,
        "--show-only",
        "templates/rbac.yaml",
    ];
    let rendered = space.helm(Helm::V4, &args).succeeds().stdout;
    let name = format!("name: release-migration-warden{suffix}\n");
    let is = |role: &&str| role.contains("kind: ClusterRole\n") && role.contains(&name);
    let role = rendered.split("---\n").find(is).unwrap();
    let role = role.replace(&name, &format!("name: {}\n", space.name()));
    space.kubectl_with(&["create", "-f", "-"], &role).succeeds();
}
