#!/usr/bin/env bash
# certkit's main job on this machine, without touching anything of it: a certbot tree in a temporary folder, a local CA
# (Pebble), and an own nginx on loopback. Lists, renews, deploys, and proves that the new certificate is being served.
# Needs git and Rust; installs what else is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../.ci/lib.sh
. .ci/lib.sh

need cc=gcc pebble=pebble pebble-challtestsrv=pebble nginx=nginx openssl=openssl
[ -e /usr/include/stdlib.h ] || install_packages libc6-dev
command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"

say "building certkit"
cargo build --quiet --locked -p certkit-cli -p testkit --bins --examples
built=$(target_dir)/debug

work=$(mktemp -d "${TMPDIR:-/tmp}/certkit-demo.XXXXXX")
tree=$work/letsencrypt
pids=()
clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    if [ "$status" != 0 ]; then
        printf '\nThe demo failed. The end of the logs of its servers:\n' >&2
        tail -n 20 "$work"/*.log >&2 || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# accepts PORT: whether something listens there.
accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Sets `port` to one that nobody uses, below the kernel's range for outgoing connections and given once.
next_port=$((10000 + RANDOM % 20000))
free_port() {
    while port=$next_port && next_port=$((next_port + 1)) && accepts "$port"; do :; done
}

# wait_for PORT PID NAME
wait_for() {
    for _ in $(seq 200); do
        accepts "$1" && return 0
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    fail "$3 does not start"
}

# served_serial: what a TLS client that knows nothing of certkit sees.
served_serial() {
    openssl s_client -connect "127.0.0.1:$tls_port" -servername p.example.com </dev/null 2>/dev/null |
        openssl x509 -noout -serial | cut -d= -f2
}

stored_serial() {
    openssl x509 -noout -serial -in "$tree/live/p.example.com/cert.pem" | cut -d= -f2
}

# show ARGUMENTS...: prints a certkit command as it is typed, and runs it with the demo's folders.
show() {
    printf '\n$ certkit'
    local argument
    for argument in "$@"; do
        case $argument in
        *[!A-Za-z0-9_.:/=-]*) printf " '%s'" "$argument" ;;
        *) printf ' %s' "$argument" ;;
        esac
    done
    printf '\n'
    certkit "$@" 2>&1 | tee "$work/output"
}

certkit() {
    "$built/certkit" "$@" --config-dir "$tree" --work-dir "$work/work" --logs-dir "$work/logs" \
        --ca-bundle "$work/api-root.pem" </dev/null
}

# expect TEXT: the last command must have printed it.
expect() {
    grep -qF -- "$1" "$work/output" || fail "the output above lacks: $1"
}

say "starting a CA (Pebble), its DNS and an nginx on loopback"
free_port; dns_port=$port
free_port; dns_management_port=$port
free_port; acme_port=$port
free_port; acme_management_port=$port
free_port; http_port=$port
free_port; tls_port=$port
free_port; unused_port=$port
server=https://127.0.0.1:$acme_port/dir

# The certificate of the CA's own API.
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${new_key[@]}" -keyout "$work/api-root.key" -out "$work/api-root.pem" -days 2 \
    -subj "/CN=Demo API Root" 2>/dev/null
openssl req "${new_key[@]}" -keyout "$work/api.key" -out "$work/api.csr" -subj "/CN=127.0.0.1" 2>/dev/null
openssl x509 -req -in "$work/api.csr" -CA "$work/api-root.pem" -CAkey "$work/api-root.key" -CAcreateserial -days 2 \
    -extfile <(printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n') -out "$work/api.pem" 2>/dev/null

pebble-challtestsrv -dns01 "127.0.0.1:$dns_port" -management "127.0.0.1:$dns_management_port" \
    -http01 "" -https01 "" -tlsalpn01 "" -defaultIPv6 "" >"$work/dns.log" 2>&1 &
pids+=($!)
wait_for "$dns_management_port" $! pebble-challtestsrv

cat >"$work/pebble.json" <<JSON
{"pebble": {
    "listenAddress": "127.0.0.1:$acme_port", "managementListenAddress": "127.0.0.1:$acme_management_port",
    "certificate": "$work/api.pem", "privateKey": "$work/api.key",
    "httpPort": $http_port, "tlsPort": $unused_port, "ocspResponderURL": "",
    "externalAccountBindingRequired": false, "certificateValidityPeriod": 7776000
}}
JSON
PEBBLE_VA_NOSLEEP=1 pebble -config "$work/pebble.json" -dnsserver "127.0.0.1:$dns_port" >"$work/pebble.log" 2>&1 &
pids+=($!)
wait_for "$acme_port" $! pebble

say "laying a tree as certbot leaves it"
mkdir "$work/www"
certkit register --server "$server" --agree-tos --register-unsafely-without-email --non-interactive
account=$(ls "$tree/accounts/127.0.0.1:$acme_port/dir")
"$built/examples/lay_tree" "$tree" "$server" "$account" "$work/www"
# Where p.example.com has to be served: the run itself proves it.
install -d -m 700 "$tree/certkit" "$tree/certkit/lineages"
(umask 077 && printf '[[endpoint]]\nhost = "127.0.0.1:%s"\nserver_name = "p.example.com"\n' "$tls_port" \
    >"$tree/certkit/lineages/p.example.com.toml")

user=
[ "$(id -u)" != 0 ] || user="user root;"
cat >"$work/nginx.conf" <<CONF
$user
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log nginx.log notice;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    server { listen 127.0.0.1:$http_port; root $work/www; }
    server {
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $tree/live/p.example.com/fullchain.pem;
        ssl_certificate_key $tree/live/p.example.com/privkey.pem;
    }
}
CONF
nginx -p "$work/" -c nginx.conf -e nginx.log >"$work/nginx-output.log" 2>&1 &
pids+=($!)
wait_for "$http_port" $! nginx
wait_for "$tls_port" $! nginx
reload="nginx -p $work/ -c nginx.conf -e nginx.log -s reload"

before=$(served_serial)
[ "$before" = "$(stored_serial)" ] || fail "nginx does not serve the certificate of the tree"

say "the main job (each command also gets --config-dir, --work-dir, --logs-dir and --ca-bundle of the demo)"
show certificates
expect "Certificate Name: p.example.com"
expect "a.example.com"
show renew --dry-run
expect "Congratulations, all simulated renewals"
[ "$(stored_serial)" = "$before" ] || fail "the dry run changed the tree"
show renew --no-random-sleep-on-renew --deploy-hook "$reload"
expect "Congratulations, all renewals succeeded"
expect "It is served at 127.0.0.1:$tls_port"
show certificates
after=$(stored_serial)
[ "$after" != "$before" ] || fail "the certificate was not renewed"

# A reload returns before the workers have changed.
for _ in $(seq 100); do
    [ "$(served_serial)" = "$after" ] && break
    sleep 0.05
done
show inspect "127.0.0.1:$tls_port"
inspected=$(certkit inspect "127.0.0.1:$tls_port" --json | grep -o '"serial": *"[^"]*"' | head -n 1 | cut -d'"' -f4)
[ "$inspected" = "$after" ] || fail "nginx serves ${inspected:-nothing}, but the renewed certificate is $after"
[ "$(served_serial)" = "$after" ] || fail "certkit and openssl see different certificates"

say "proved: nginx served $before before and serves $after now, the certificate that was just issued"
