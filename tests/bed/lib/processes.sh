# Processes that outlive the shell that starts them, known by pid and start time.
# shellcheck shell=bash

# Field 22 of stat counts from boot, so a pid together with it names one process and no later one.
birth_of() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != Z ]] || return 1
  printf '%s' "${fields[19]}"
}

# start NAME COMMAND…: no terminal, no inherited pipe and no lock stays open in it, else a caller that
# captures our output would wait for it for ever. A shell's background processes ignore SIGINT and SIGQUIT,
# and containers would inherit that: hence --default-signal.
start() {
  local name=$1 pid
  shift
  (
    cd /
    for descriptor in /proc/self/fd/*; do
      descriptor=${descriptor##*/}
      ((descriptor > 2)) && eval "exec $descriptor>&-"
    done
    exec env --default-signal=INT,QUIT setsid "$@" </dev/null >>"$logs/$name.log" 2>&1
  ) &
  pid=$!
  printf '%s %s\n' "$pid" "$(birth_of "$pid")" >"$running/$name"
}

# The pid of a process of ours, if it still is that process.
pid_of() {
  local pid birth
  read -r pid birth 2>/dev/null <"$running/$1" || return 1
  [[ $(birth_of "$pid") == "$birth" ]] || return 1
  printf '%s' "$pid"
}
alive() { pid_of "$1" >/dev/null; }
anything_runs() {
  local file
  for file in "$running"/*; do alive "${file##*/}" && return; done
  return 1
}

# stop SECONDS NAME…: asks all of them first, then waits, then ends what is left.
stop() {
  local seconds=$1 name pid deadline
  shift
  for name in "$@"; do
    pid=$(pid_of "$name") && kill -TERM "$pid" 2>/dev/null
  done
  deadline=$(($(tenths) + seconds * 10))
  for name in "$@"; do
    while pid=$(pid_of "$name"); do
      if (($(tenths) > deadline)); then
        ((seconds == 0)) || warn "$name (pid $pid) did not end in $seconds s: killed"
        kill -KILL "$pid" 2>/dev/null || true
      fi
      sleep 0.05
    done
    rm -f "$running/$name"
  done
}

# wait_for NAME SECONDS CHECK…: until CHECK succeeds; a process that ended, or the time, is a failure with its log.
wait_for() {
  local name=$1 deadline=$(($(tenths) + $2 * 10))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name" || (($(tenths) > deadline)); then
      tail -n 15 "$logs/$name.log" >&2 || true
      fail "$name did not come up; its log is $logs/$name.log"
    fi
    sleep 0.05
  done
  alive "$name" || fail "$name has ended; its log is $logs/$name.log"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
