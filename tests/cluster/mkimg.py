"""Packs files into a container image archive, without a container engine.

usage: mkimg.py OUT.tar NAME:TAG [user=UID:GID] [label:KEY=VALUE…] SRC=/DST… -- ENTRYPOINT ARG…

The archive is an OCI image layout and what `docker save` writes at once, so that anything loads it. The
same files make the same bytes, whoever owns them and however old they are; what was packed is not
compressed, since compressors differ. Prints the image's digest.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile


def tar(files):
    """An archive of (name, content, mode): nothing else of a file gets into an image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in sorted(files):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def as_json(value):
    return json.dumps(value, sort_keys=True).encode()


def full(name):
    """The name as container runtimes complete it: the registry and folder nobody writes."""
    first, slash, _ = name.partition("/")
    if not slash:
        return "docker.io/library/" + name
    return name if set(first) & set(".:") or first == "localhost" else "docker.io/" + name


out, name, *rest = sys.argv[1:]
split = rest.index("--")
settings, labels, files = {}, {}, []
for pair in rest[:split]:
    key, _, value = pair.partition("=")
    if key == "user":
        settings["User"] = value
    elif key.startswith("label:"):
        labels[key.removeprefix("label:")] = value
    else:
        with open(key, "rb") as source:
            files.append((value.lstrip("/"), source.read(), 0o755))

blobs = {}


def blob(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(content)}


# 1970, as in the archives: a real date would make each build another image.
created = "1970-01-01T00:00:00Z"
layer = blob("application/vnd.oci.image.layer.v1.tar", tar(files))
config = blob(
    "application/vnd.oci.image.config.v1+json",
    as_json(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "created": created,
            "config": {"Entrypoint": rest[split + 1 :], "Labels": labels, **settings},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
    ),
)
manifest_kind = "application/vnd.oci.image.manifest.v1+json"
manifest = blob(
    manifest_kind,
    as_json({"schemaVersion": 2, "mediaType": manifest_kind, "config": config, "layers": [layer]}),
)
index = {
    "schemaVersion": 2,
    "manifests": [
        {
            **manifest,
            "annotations": {
                "io.containerd.image.name": full(name),
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            },
        }
    ],
}


def path(descriptor):
    return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")


contents = {
    "oci-layout": as_json({"imageLayoutVersion": "1.0.0"}),
    "index.json": as_json(index),
    "manifest.json": as_json([{"Config": path(config), "RepoTags": [name], "Layers": [path(layer)]}]),
    **{"blobs/sha256/" + digest: content for digest, content in blobs.items()},
}
with open(out, "wb") as archive:
    archive.write(tar((name, content, 0o644) for name, content in contents.items()))
print(manifest["digest"])
