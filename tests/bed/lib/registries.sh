# Registries on the loopback interface, a token server, and nginx with TLS and faults in front of the plain one.
# shellcheck shell=bash

registry_names=(registry registry-auth registry-readonly registry-nodelete registry-token)
server_names=("${registry_names[@]}" registry-crane token nginx)

secret() { head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# Secrets and certificates are made once for a bed.
prepare_secrets() {
  local name
  for name in auth-password token-password reader-password http-secret; do
    [[ -n $(fact "$name") ]] || remember "$name" "$(secret)"
  done
  [[ -e $bed/tls/server.pem ]] || prepare_certificates
}

certify() { openssl "$@" 2>>"$logs/openssl.log" || fail "openssl cannot make certificates; see $logs/openssl.log"; }

prepare_certificates() (
  mkdir -p "$bed/tls"
  cd "$bed/tls" || exit
  printf '%s\n' '[req]' 'distinguished_name=dn' '[dn]' '[ca]' 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash' \
    '[server]' 'subjectAltName=IP:127.0.0.1,DNS:localhost' 'extendedKeyUsage=serverAuth' '[client]' 'extendedKeyUsage=clientAuth' >openssl.cnf
  export OPENSSL_CONF=$PWD/openssl.cnf
  certify req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj "/CN=castoff test bed" -extensions ca
  for name in client server; do
    certify req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=bed $name"
    certify x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile openssl.cnf -extensions "$name" -out "$name.pem"
  done
  certify req -x509 -newkey rsa:2048 -nodes -keyout token.key -out token.pem -days 30 -subj "/CN=castoff-bed"
)

# registry_settings NAME: the configuration of one docker-registry.
registry_settings() {
  cat <<-END
	version: 0.1
	log: { level: warn, formatter: text }
	storage:
	  filesystem: { rootdirectory: "$bed/data/$1" }
	  delete: { enabled: $([[ $1 == registry-nodelete ]] && echo false || echo true) }
	  cache: { blobdescriptor: inmemory }
	  maintenance: { uploadpurging: { enabled: false }, readonly: { enabled: $([[ $1 == registry-readonly ]] && echo true || echo false) } }
	http: { addr: "$(host_of "$1")", secret: "$(fact http-secret)" }
	END
  case $1 in
    registry-auth) printf 'auth: { htpasswd: { realm: bed, path: "%s/htpasswd" } }\n' "$bed" ;;
    registry-token) printf 'auth: { token: { realm: "http://%s/token", service: bed, issuer: castoff-bed, rootcertbundle: "%s/tls/token.pem" } }\n' "$(host_of token)" "$bed" ;;
  esac
}

start_registries() {
  local name
  mkdir -p "$bed/data" "$bed/settings" "$bed/nginx"
  # perl-base is on every Debian, htpasswd is not; the registry takes bcrypt alone.
  [[ -s $bed/htpasswd ]] || printf 'publisher:%s\n' "$(SALT=$(secret | cut -c1-22) perl -e 'print crypt($ARGV[0], "\$2y\$05\$$ENV{SALT}")' "$(fact auth-password)")" >"$bed/htpasswd"
  # The read-only one is not empty: it has what the plain one had when it was first started.
  if [[ ! -d $bed/data/registry-readonly ]]; then
    start_registry registry
    wait_for registry 10 answers "$(port_of registry)"
    push_images "$(host_of registry)"
    cp -a "$bed/data/registry" "$bed/data/registry-readonly.making"
    mv "$bed/data/registry-readonly.making" "$bed/data/registry-readonly"
  fi
  for name in "${registry_names[@]}"; do start_registry "$name"; done
  alive registry-crane || start registry-crane "$tools/crane" registry serve --address "$(host_of registry-crane)" --disk "$(mkdir -p "$bed/data/registry-crane"; echo "$bed/data/registry-crane")"
  alive token || start token env "PATH=$PATH" "LD_LIBRARY_PATH=$(libraries)" "BED_TOKEN_USERS=$(token_users)" "$tree/host/usr/bin/python3.11" "$bed_source/token_server.py" \
    "$(port_of token)" "$bed/tls/token.key" "$bed/tls/token.pem" 60 "$logs/token-requests.log"
  alive nginx || start_nginx
}

start_registry() {
  alive "$1" && return
  registry_settings "$1" >"$bed/settings/$1.yaml"
  start "$1" "$tools/docker-registry" serve "$bed/settings/$1.yaml"
}

# One who may do everything, one who may only pull.
token_users() { printf '{"publisher": ["%s", ["*"]], "reader": ["%s", ["pull"]]}' "$(fact token-password)" "$(fact reader-password)"; }

start_nginx() {
  local name edits=(-e "s#@DIR@#$bed/nginx#g" -e "s#@LOGS@#$logs#g" -e "s#@TLS@#$bed/tls#g" -e "s#@registry@#$(host_of registry)#g")
  for name in tls mtls fault-{429,503,cut,413,502,slow,403,tag}; do edits+=(-e "s#@$name@#$(port_of "$name")#g"); done
  sed "${edits[@]}" "$bed_source/nginx.conf.in" >"$bed/nginx/nginx.conf"
  start nginx env "LD_LIBRARY_PATH=$(libraries)" OPENSSL_CONF=/dev/null "$tree/host/usr/sbin/nginx" -e "$logs/nginx-error.log" -p "$bed/nginx" -c "$bed/nginx/nginx.conf"
}

wait_for_registries() {
  local name
  for name in "${registry_names[@]}" registry-crane token; do wait_for "$name" 15 answers "$(port_of "$name")"; done
  wait_for nginx 15 answers "$(port_of tls)"
}
