#!/usr/bin/env bash
# Proves the two commands of the README on a bare Debian 12: a fresh clone of the last commit in a fresh chroot
# that has nothing but Debian's own nodejs and npm.
#
#   sudo scripts/prove-debian.sh [--setup-only] [--no-tests] [--cache FILE.tar]
#
# Needs root, debootstrap, git and the network for Debian's and npm's packages. Works in mount and process
# namespaces of its own, so that nothing stays mounted or running however it ends; its folder below /var/tmp
# (about 3 GB) goes at the end. --cache keeps the bare system for the next run.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf '\n== %s\n' "$*"; }
fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

# --- outside: makes the system, then enters the namespaces ----------------------------------------------

outside() {
  local start=1 tests=1 cache=''
  while [ $# -gt 0 ]; do
    case $1 in
      --setup-only) start=0 tests=0 ;;
      --no-tests) tests=0 ;;
      --cache) [ $# -ge 2 ] || usage; cache=$2; shift ;;
      *) usage ;;
    esac
    shift
  done
  [ "$(id -u)" = 0 ] || fail 'run me as root'
  for tool in debootstrap git unshare chroot; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install -y debootstrap git util-linux"
  done

  work=$(mktemp -d /var/tmp/nearcast-debian.XXXXXX)
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT TERM
  local root=$work/root
  mkdir "$root"
  if [ -n "$cache" ] && [ -f "$cache" ]; then
    say "bare Debian 12 from $cache"
    tar -xf "$cache" -C "$root"
  else
    say 'bare Debian 12 by debootstrap'
    timeout 1200 debootstrap --variant=minbase --include=ca-certificates bookworm "$root" \
      "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
      { tail -20 "$work/debootstrap.log" >&2; fail debootstrap; }
    share_network "$root"
    chroot "$root" env -i "${passed[@]}" DEBIAN_FRONTEND=noninteractive timeout 1200 sh -ec '
      apt-get -q update
      apt-get -q install -y --no-install-recommends nodejs npm' >"$work/apt.log" 2>&1 ||
      { tail -20 "$work/apt.log" >&2; fail 'apt-get install nodejs npm'; }
    [ -z "$cache" ] || tar -cf "$cache" -C "$root" .
  fi
  share_network "$root"
  git clone --quiet --no-hardlinks "$here" "$root/root/nearcast"
  install -m 755 "${BASH_SOURCE[0]}" "$root/root/prove.sh"
  unshare --mount --pid --fork --kill-child --propagation private \
    "$root/root/prove.sh" --in-namespaces "$root" "$start" "$tests"
  say 'proved'
}

# The chroot uses the network of this machine as it is: resolver, proxies, registry, certificate authorities.
passed=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb)
share_network() {
  local authorities=/etc/ssl/certs/ca-certificates.crt name
  cp --dereference /etc/resolv.conf /etc/hosts "$1/etc/"
  [ ! -f "$authorities" ] || cp --dereference "$authorities" "$1$authorities"
  passed=("${passed[@]:0:4}" "npm_config_cafile=$authorities")
  for name in http_proxy https_proxy no_proxy npm_config_registry; do
    [ -z "${!name:-}" ] || passed+=("$name=${!name}")
  done
}

# --- in the namespaces: mounts, then the chroot ---------------------------------------------------------

in_namespaces() {
  local root=$1
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || true
  share_network "$root"
  exec chroot "$root" env -i "${passed[@]}" bash /root/prove.sh --in-chroot "$2" "$3"
}

# --- inside: what a stranger would type -----------------------------------------------------------------

in_chroot() {
  local start=$1 tests=$2
  cd /root/nearcast
  say "a stranger's machine: $(. /etc/os-release && echo "$PRETTY_NAME"), node $(node --version), npm $(npm --version)"
  if [ "$start" = 0 ]; then
    timed 'first set-up' timeout 1800 npm run --silent setup
  else
    run_demo 'npm start, first time' 1800
    run_demo 'npm start, second time' 120
  fi
  # The best of three: this machine may be busy with something else.
  local best=2000
  for _ in 1 2 3; do
    timed 'set-up with nothing to do' npm run --silent setup
    [ "$elapsed_ms" -ge "$best" ] || best=$elapsed_ms
  done
  [ "$best" -lt 2000 ] || fail 'a set-up with nothing to do takes 2 s or more'
  [ "$tests" = 0 ] || timed 'npm test' timeout 4800 npm test </dev/null
}

# From the URL of the watch page to the first segment, by the HLS playlists, within 30 s.
first_segment='
  const liveId = process.argv[1].split("/").at(-1)
  let url = new URL(`/live/${liveId}/index.m3u8`, process.argv[1])
  for (let attempt = 0; attempt < 300 && !url.pathname.endsWith(".m4s"); attempt++) {
    const answer = await fetch(url)
    const entries = answer.ok ? (await answer.text()).split("\n").filter((line) => /^[^#]/.test(line)) : []
    if (entries.length > 0) url = new URL(entries.at(-1), url)
    else await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const bytes = (await (await fetch(url)).arrayBuffer()).byteLength
  console.log(`-- ${url.pathname}: ${bytes} bytes`)
  process.exitCode = url.pathname.endsWith(".m4s") && bytes > 0 ? 0 : 1
'

timed() {
  local title=$1 startedAt
  shift
  say "$title"
  startedAt=$(date +%s%3N)
  "$@" || fail "$title (exit code $?)"
  elapsed_ms=$(($(date +%s%3N) - startedAt))
  echo "-- $title: $elapsed_ms ms"
}

# Runs `npm start` until it says ready, presses Ctrl-C, and looks at what is left.
run_demo() {
  local title=$1 limit=$2 log=/root/start.log startedAt leader waited=0 code=0
  say "$title"
  startedAt=$(date +%s%3N)
  # A shell starts what it sends to the background with INT ignored; a terminal does not.
  setsid env --default-signal=INT npm start -- --ports auto >"$log" 2>&1 </dev/null &
  leader=$!
  until grep -q '^ready' "$log"; do
    kill -0 "$leader" 2>/dev/null || { cat "$log"; fail "$title: it ended before it was ready"; }
    [ $((waited += 1)) -lt $((limit * 5)) ] || { cat "$log"; kill -KILL -- "-$leader"; fail "$title: not ready in $limit s"; }
    sleep 0.2
  done
  echo "-- $title: ready after $(($(date +%s%3N) - startedAt)) ms"
  # The picture that the test publisher sends in at POP 1 comes out at POP 2.
  node --input-type=module -e "$first_segment" "$(sed -n 's/^watch *//p' "$log")" || { cat "$log"; fail "$title: no picture"; }
  echo "-- $title: first segment after $(($(date +%s%3N) - startedAt)) ms"
  kill -INT -- "-$leader"
  wait "$leader" || code=$?
  cat "$log"
  # 130: the shell that npm starts the command with dies of the same Ctrl-C, after us.
  [ "$code" = 0 ] || [ "$code" = 130 ] || fail "$title: exit code $code after Ctrl-C"
  # This is a process namespace of our own: whatever else runs in it was left behind.
  local left
  left=$(for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$pid" = 1 ] || [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || tr '\0' ' ' <"$dir/cmdline" 2>/dev/null || true
  done)
  [ -z "${left// /}" ] || fail "$title: left running: $left"
  echo "-- Ctrl-C: exit code $code, nothing left running"
}

case ${1:-} in
  --in-namespaces) shift; in_namespaces "$@" ;;
  --in-chroot) shift; in_chroot "$@" ;;
  *) outside "$@" ;;
esac
