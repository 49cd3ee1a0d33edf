# Where the bed's things are, and how it speaks. Sourced first by up, down, env and pin.
# shellcheck shell=bash disable=SC2034  # the variables are used by the other files of this folder

bed_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bed=${CASTOFF_BED:-/var/tmp/castoff-bed}
[[ $bed == /* ]] || bed=$PWD/$bed
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/castoff-bed

# Every bed of this machine writes here which slot (ports and addresses) it holds.
claims=/run/castoff-bed

marker=$bed/this-is-a-castoff-bed # `down` removes no folder that lacks it
running=$bed/running              # one file a process: its pid and when it started
logs=$bed/logs
facts=$bed/facts                  # what was chosen once and is kept: one file a fact
tools=$bed/bin                    # the PATH folder of those who use the bed
pass_path=$bed/pass                # the PATH folder for tests of docker-credential-pass
engine_path=$bed/engine-path      # the PATH of the engines: Debian 12's runc, wrapped iptables

say() { printf '%s\n' "$*"; }
warn() { printf 'bed: %s\n' "$*" >&2; }
fail() {
  spoke=yes
  warn "$*"
  exit 1
}

# The clock of the messages: tenths of a second since the shell started measuring.
tenths() { local now=${EPOCHREALTIME/[^0-9]/}; printf '%s' "$((now / 100000))"; }
started=$(tenths)
since() { local t=$(($(tenths) - $1)); printf '%s.%s s' "$((t / 10))" "$((t % 10))"; }

# report NAME SINCE TEXT: one line of what has been done.
report() { printf '  %-11s %-62s %8s\n' "$1" "$3" "$(since "$2")"; }

fact() { cat "$facts/$1" 2>/dev/null || true; }
remember() { printf '%s\n' "$2" >"$facts/$1"; }

# What ends the script without a word of its own is at least named.
trap 'status=$?; ((status == 0)) || [[ -n ${spoke:-} ]] || warn "stopped with status $status at: $BASH_COMMAND"' EXIT

need_root() { [[ $EUID == 0 ]] || fail "the bed starts engines and bridges: run it as root"; }

# One `up` or `down` at a time for a folder. The lock lies outside the folder, as `down` removes that.
lock_bed() {
  mkdir -p "$claims"
  exec {bed_lock}>"$claims/lock-$(sha256sum <<<"$bed" | cut -c1-16)"
  flock -n "$bed_lock" && return
  say "waiting for another up or down of $bed"
  flock "$bed_lock"
}
