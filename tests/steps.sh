# Steps that are run one after the other, each with a log, and counted at the end. For tests/run and tests/long.
# The caller is in the checkout's root. `$logs` is the folder of the logs; clusters are in `$logs/kwok` and `$logs/real`.

logs=$(mktemp -d "${TMPDIR:-/tmp}/migration-warden-tests.XXXXXX")
failed_steps=()

finish() {
  local code=$?
  trap - EXIT
  for kind in kwok real; do
    [ ! -e "$logs/$kind/node-kind" ] || tests/cluster/down "$logs/$kind" || true
  done
  # cargo says how many for each test program; a step that failed without such a line counts as one.
  local passed failed
  read -r passed failed < <(
    cat "$logs"/*.log 2>/dev/null | sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' |
      awk '{p += $1; f += $2} END {print p + 0, f + 0}'
  )
  for step in "${failed_steps[@]}"; do
    grep -qsE '^test result: FAILED' "$logs/$step.log" || failed=$((failed + 1))
  done
  if [ ${#failed_steps[@]} -gt 0 ] || [ $code != 0 ] || [ "$failed" != 0 ]; then
    rm -rf "$logs"/*/etcd "$logs"/*/node/containerd "$logs"/*/node/root
    printf '\nfailed: %s\nlogs: %s\n' "${failed_steps[*]:-interrupted}" "$logs" >&2
    [ "$failed" != 0 ] || failed=1
    [ $code != 0 ] || code=1
  else
    rm -rf "$logs"
  fi
  echo "took ${SECONDS}s"
  echo "$passed passed, $failed failed"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND…: a header with the seconds so far, the output, and a log of it.
step() {
  local name=$1
  shift
  printf '\n==> [%ds] %s: %s\n' $SECONDS "$name" "$*"
  "$@" </dev/null 2>&1 | tee "$logs/$name.log" && return
  failed_steps+=("$name")
  return 1
}

# e2e NAME KIND THREADS FILTER…: the end-to-end tests that need this kind of node.
e2e() {
  local name=$1 kind=$2 threads=$3
  shift 3
  MW_COLLECTOR=${collector:-} MW_CLUSTER=$logs/$kind step "e2e-$name" \
    cargo test --locked --test e2e -- --ignored --test-threads "$threads" "$@" || true
}

# They wait for the cluster most of the time, so more of them run at once than there are cores.
many=$(($(nproc) * 3))
