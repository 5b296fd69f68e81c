"""Packs files into a container image archive, without a container engine.

usage: mkimg.py OUT.tar NAME:TAG SRC=/DST… -- ENTRYPOINT ARG…
"""

import hashlib
import io
import json
import sys
import tarfile

out, ref, *rest = sys.argv[1:]
split = rest.index("--")
files, entrypoint = rest[:split], rest[split + 1 :]

buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as layer_tar:
    for pair in files:
        source, target = pair.split("=")
        info = layer_tar.gettarinfo(source, arcname=target.lstrip("/"))
        # Whoever owns the file here, and however it is linked, an image has root's plain copy.
        info.type, info.linkname, info.mode, info.uid, info.gid = tarfile.REGTYPE, "", 0o755, 0, 0
        with open(source, "rb") as content:
            info.size = len(data := content.read())
            layer_tar.addfile(info, io.BytesIO(data))
layer = buffer.getvalue()
layer_id = hashlib.sha256(layer).hexdigest()

config = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + layer_id]},
    }
).encode()
config_id = hashlib.sha256(config).hexdigest()
manifest = json.dumps(
    [{"Config": config_id + ".json", "RepoTags": [ref], "Layers": [layer_id + ".tar"]}]
).encode()

with tarfile.open(out, "w") as image:
    for name, content in (
        (config_id + ".json", config),
        (layer_id + ".tar", layer),
        ("manifest.json", manifest),
    ):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        image.addfile(info, io.BytesIO(content))
