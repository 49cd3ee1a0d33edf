# Two Docker Engines, each with a containerd, a bridge and address ranges of its own.
#
# `engine` has the containerd image store, `classic` the overlay2 one. containerd is started here and not by dockerd:
# dockerd would otherwise adopt one that already runs on the machine.
# shellcheck shell=bash

socket_of() { printf 'unix://%s/%s/docker.sock' "$bed" "$1"; }
engine_answers() { "$tools/docker" -H "$1" version --format '{{.Server.Version}}'; }

# An engine of the machine itself, if one answers; never that of a bed, which could go away under us.
machine_engine() {
  local address
  for address in "${DOCKER_HOST:-}" unix:///var/run/docker.sock; do
    [[ -n $address ]] || continue
    [[ $address == unix://* && -e $(dirname "${address#unix://}")/belongs-to-a-castoff-bed ]] && continue
    engine_answers "$address" >/dev/null 2>&1 && printf '%s' "$address" && return
  done
  return 1
}

# choose_engine: decided once for the life of a bed.
choose_engine() {
  local address
  [[ -z $(fact engine) ]] || return 0
  if [[ ${BED_ENGINE:-} != own ]] && address=$(machine_engine); then
    remember engine "$address"
  else
    remember engine own
  fi
}
engine_host() { if [[ $(fact engine) == own ]]; then socket_of engine; else fact engine; fi; }

# The machine's engine may have started before qemu was registered.
check_platforms() {
  local said
  said=$(DOCKER_CONFIG=$bed/docker-config "$tools/docker" -H "$1" buildx inspect default 2>&1) || true
  [[ $said == *Platforms:*linux/arm64* ]] ||
    warn "the builder of $1 does not list linux/arm64; restart that engine, or take the bed's own: BED_ENGINE=own"
}

# What dockerd finds in its PATH. Debian 12's runc must come before testing's, which needs a newer glibc.
prepare_engine_path() {
  local program
  mkdir -p "$engine_path"
  ln -sf "$tree/host/usr/sbin/runc" "$engine_path/runc"
  for program in "$tree"/tools/usr/sbin/{dockerd,docker-proxy} "$tree"/tools/usr/bin/{containerd,containerd-shim-runc-v2,docker-init}; do
    ln -sf "$program" "$engine_path/${program##*/}"
  done
  # A container's own name server (127.0.0.11) is a rule in the container's network namespace, made with iptables
  # even where the engine itself runs with iptables=false.
  for program in iptables ip6tables; do
    wrap "$engine_path/$program" "XTABLES_LIBDIR=$tree/host/usr/lib/x86_64-linux-gnu/xtables" "$tree/host/usr/sbin/xtables-nft-multi" "$program"
  done
}

start_engine() {
  local name=$1 folder=$bed/$1 store
  store=$([[ $name == engine ]] && echo containerd || echo classic)
  if ! alive "$name-containerd" || ! alive "$name"; then
    # What is left of a dead one would keep pids, sockets and mounts. Without its containerd dockerd does not end.
    stop "$(alive "$name-containerd" && echo 10 || echo 0)" "$name" "$name-containerd"
    end_containers "$name"
    rm -f "$folder"/dockerd.pid "$folder"/*.sock
  fi
  mkdir -p "$folder"
  : >"$folder/belongs-to-a-castoff-bed"
  bridge_up "$name"
  if ! alive "$name-containerd"; then
    cat >"$folder/containerd.toml" <<-END
		version = 3
		root = "$folder/containerd"
		state = "$folder/containerd-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
		[grpc]
		address = "$folder/containerd.sock"
	END
    start "$name-containerd" env PATH="$engine_path:$PATH" containerd --config "$folder/containerd.toml"
    wait_for "$name-containerd" 15 test -S "$folder/containerd.sock"
  fi
  if ! alive "$name"; then
    engine_settings "$name" "$store" >"$folder/daemon.json"
    start "$name" env PATH="$engine_path:$PATH" dockerd --config-file "$folder/daemon.json"
  fi
}

# All in a file of its own, so that a daemon.json of the machine has no say. ip-forward=false: the machine's routing
# is left as it is. cgroupfs works with and without systemd, and the parent group lets `down` find every process.
engine_settings() {
  local folder=$bed/$1
  cat <<-END
	{
	  "data-root": "$folder/data", "exec-root": "$folder/exec", "pidfile": "$folder/dockerd.pid",
	  "hosts": ["unix://$folder/docker.sock"], "containerd": "$folder/containerd.sock",
	  "bridge": "$(bridge_of "$1")", "default-address-pools": [{ "base": "$(pool_of "$1")", "size": 26 }],
	  "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false,
	  "insecure-registries": ["127.0.0.0/8"], "exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": "/$(group_of "$1")",
	  "shutdown-timeout": 3, "features": { "containerd-snapshotter": $([[ $2 == containerd ]] && echo true || echo false) }$([[ $2 == classic ]] && printf ', "storage-driver": "overlay2"')
	}
	END
}
# A control group is named as the bridge is; on the older kind of cgroups it is there once for every controller.
group_of() { bridge_of "$1"; }
groups_of() { find /sys/fs/cgroup -depth -type d \( -name "$(group_of "$1")" -o -path "*/$(group_of "$1")/*" \) 2>/dev/null || true; }

wait_for_engine() { wait_for "$1" 30 engine_answers "$(socket_of "$1")"; }

# end_containers NAME: every process that a dead or ended engine left in its control group, shims of its containerd first.
end_containers() {
  local pid group words round
  for pid in /proc/[0-9]*; do
    words=$(tr '\0' ' ' 2>/dev/null <"$pid/cmdline") || continue
    [[ $words != *"containerd-shim-runc-v2 "*"-address $bed/$1/containerd.sock"* ]] || kill -KILL "${pid##*/}" 2>/dev/null || true
  done
  for round in 1 2 3 4 5; do
    [[ -n $(groups_of "$1") ]] || break
    for group in $(groups_of "$1"); do
      while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$group/cgroup.procs"
    done
    sleep 0.05
    for group in $(groups_of "$1"); do rmdir "$group" 2>/dev/null || true; done
  done
  unmount_below "$bed/$1"
}

# Deepest first, and twice: unmounting one can uncover another.
unmount_below() {
  local round point
  for round in 1 2; do
    while read -r point; do
      umount "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || true
    done < <(awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac)
  done
}

stop_engines() {
  local name containers
  for name in engine classic; do
    alive "$name" || continue
    # Else dockerd waits for each container's own way to end.
    mapfile -t containers < <("$tools/docker" -H "$(socket_of "$name")" ps -q 2>/dev/null)
    ((${#containers[@]} == 0)) || "$tools/docker" -H "$(socket_of "$name")" kill "${containers[@]}" >/dev/null 2>&1 || true
  done
  stop 20 engine classic
  stop 10 engine-containerd classic-containerd
  for name in engine classic; do end_containers "$name"; done
}
