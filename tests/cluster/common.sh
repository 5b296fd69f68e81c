# What the cluster scripts share: where the programs are, which versions they have, and how a
# process is started, watched and ended. Sourced, never run.

K8S=1.37.2 ETCD=3.7.3 HELM3=3.22.0 HELM4=4.3.1 KWOK=0.8.0 PROMETHEUS=2.42.0 CYCLONEDX=0.5.9
GITOPS_ENGINE=0.7.3
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/migration-warden
ASSETS=${ASSETS:-$CACHE/cluster}

# The one bridge real pods hang on. Its name and its network are fixed, because kube-proxy's tables
# are one per machine anyway: a machine has one real node at a time.
BRIDGE=mwarden0 NODE_IP=10.244.0.1 POD_CIDR=10.244.0.0/24
# Tells the next `up` whose that bridge is.
CLAIM=/run/migration-warden-node

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# A process id alone may by now belong to someone else; with the time it started it is unmistakable.
# A process that has ended but that no one has waited for has no such time.
started_at() { awk '{sub(/^.*\) /, "")} $1 != "Z" {print $20}' "/proc/$1/stat" 2>/dev/null; }

# start NAME PROGRAM…: runs it in the background, with NAME.log and NAME.pid in the current directory.
start() {
  local name=$1
  shift
  "$@" >"$name.log" 2>&1 </dev/null &
  echo "$! $(started_at $!)" >"$name.pid"
}

# alive FILE.pid: whether the process that was recorded there still runs; prints its id.
alive() {
  local id at
  [ -e "$1" ] && read -r id at <"$1" && [ -n "$at" ] && [ "$(started_at "$id")" = "$at" ] && echo "$id"
}

# wait_for SECONDS NAME COMMAND…: until COMMAND succeeds. Fails with the end of NAME.log.
wait_for() {
  local end=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name.pid" >/dev/null || [ $SECONDS -ge $end ]; then
      tail -n 25 "$name.log" >&2
      die "$name did not become ready ($*); the end of $PWD/$name.log is above"
    fi
    sleep 0.2
  done
}

# free_ports N: unused TCP ports, from below the range the kernel gives to outgoing connections, so
# that none is taken between here and the moment a program listens on it.
free_ports() {
  python3 - "$1" <<'P'
import random, socket, sys
ports = []
while len(ports) < int(sys.argv[1]):
    port = random.randrange(20000, 32000)
    with socket.socket() as s:
        try:
            s.bind(("0.0.0.0", port))
        except OSError:
            continue
    if port not in ports:
        ports.append(port)
print(*ports)
P
}
