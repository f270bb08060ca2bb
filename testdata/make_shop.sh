#!/bin/bash
# make_shop.sh OUTDIR: builds the `shop` image of this directory once more. Root, buildah, skopeo, dockerd (Debian 12).
#
# v1 and v2 share three layers. What each layer does is what people have in their images: packages and the cache that a
# later layer deletes, a secret that was copied in and removed, a file whose mode alone changed, a directory replaced.
set -euo pipefail
out=$(cd "${1:?usage: make_shop.sh OUTDIR}" && pwd)
work=$(mktemp -d)
trap 'kill "${daemon:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
export LC_ALL=C TZ=UTC TMPDIR=$work
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

# layer FROM TO INSTRUCTION: a layer of what the function `change` does to the mounted root.
layer() {
    local c
    if [ "$1" = scratch ]; then c=$(b from scratch); else c=$(b from --pull-never "localhost/$1"); fi
    (cd "$(b mount "$c")" && change)
    b umount "$c" >/dev/null
    b config --created-by "$3" "$c"
    b commit --quiet --rm "$c" "localhost/$2" >/dev/null
}
# build FROM TO: a Dockerfile from standard input on top of FROM, its context in $work/context.
build() {
    { echo "FROM localhost/$1"; cat; } >"$work/Dockerfile"
    b bud --quiet --pull-never --layers -t "localhost/$2" -f "$work/Dockerfile" "$work/context" >/dev/null
}
text() { seq -f "$1 %06g" "$2"; }

change() {
    mkdir -p etc root tmp usr/bin usr/lib usr/share/doc/base usr/sbin var/cache/apt var/lib/dpkg
    chmod 1777 tmp; chmod 700 root
    ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/sbin sbin
    printf 'PRETTY_NAME="Shop Linux 1"\nID=shop\nVERSION_ID=1\n' >usr/lib/os-release
    ln -s ../usr/lib/os-release etc/os-release
    printf 'root:x:0:0:root:/root:/bin/sh\nshop:x:1000:1000::/srv/app:/bin/sh\n' >etc/passwd
    printf 'root:*:19000:0:99999:7:::\n' >etc/shadow; chmod 640 etc/shadow; chown 0:42 etc/shadow
    for tool in sh cat ls; do text "$tool" 40 >usr/bin/$tool; chmod 755 usr/bin/$tool; done
    text su 30 >usr/bin/su; chmod 4755 usr/bin/su
    text copyright 20 >usr/share/doc/base/copyright
    text base 30 >var/lib/dpkg/status
}
layer scratch base "/bin/sh -c #(nop) ADD file:base.tar.xz in / "
change() {
    mkdir -p usr/lib/python3.11/json usr/lib/python3.11/__pycache__
    for m in os re ssl typing; do text "$m" 50 >usr/lib/python3.11/$m.py; text "$m.pyc" 30 >usr/lib/python3.11/__pycache__/$m.pyc; done
    for m in __init__ decoder encoder; do text "json.$m" 20 >usr/lib/python3.11/json/$m.py; done
    text python 60 >usr/bin/python3.11; chmod 755 usr/bin/python3.11
    ln usr/bin/python3.11 usr/bin/python3
    text pkgcache 300 >var/cache/apt/pkgcache.bin
    text python3 10 >>var/lib/dpkg/status
}
layer base python "/bin/sh -c apt-get update && apt-get install -y python3"

app() {
    rm -rf "$work/context"; mkdir -p "$work/context/app/static/css" "$work/context/app/shop"
    cd "$work/context/app"
    printf 'DB_PASSWORD=correct-horse-battery-staple\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n' >.env
    printf '#!/bin/sh\nexec python3 -m shop\n' >run.sh
    text "def view():" 30 >shop/views.py; text "model" 25 >shop/models.py; : >shop/__init__.py
    text "body {}" 20 >static/css/site.css; text logo 60 >static/logo.svg
}
app
build python app1 <<'D'
ENV PYTHONUNBUFFERED=1 LANG=C.UTF-8
COPY app /srv/app
D
change() { rm srv/app/.env; rm -rf var/cache/apt; chmod 755 srv/app/run.sh; }
layer app1 clean1 "/bin/sh -c rm /srv/app/.env && rm -rf /var/cache/apt && chmod +x /srv/app/run.sh"
build clean1 shop:v1 <<'D'
LABEL org.opencontainers.image.title=shop org.opencontainers.image.version=1.0
EXPOSE 8080
USER shop
CMD ["/srv/app/run.sh"]
D

# v2: the sources change, one file moves, the style sheets are built anew, tests are shipped by mistake.
app; cd "$work/context/app"
text "def view(request):" 34 >shop/views.py; text "price" 12 >shop/prices.py
mv static/logo.svg static/shop.svg
mkdir tests; text "def test():" 45 >tests/test_views.py
chmod 755 run.sh; rm .env
build python app2 <<'D'
ENV PYTHONUNBUFFERED=1 LANG=C.UTF-8 SHOP_ENV=production
COPY app /srv/app
D
change() { rm -rf var/cache/apt srv/app/static/css; mkdir srv/app/static/css; text "body{}" 8 >srv/app/static/css/site.min.css; }
layer app2 clean2 "/bin/sh -c rm -rf /var/cache/apt && make -C /srv/app css"
build clean2 shop:v2 <<'D'
LABEL org.opencontainers.image.title=shop org.opencontainers.image.version=2.0
EXPOSE 8443
USER shop
CMD ["/srv/app/run.sh", "--tls"]
D

for v in v1 v2; do
    b push --quiet --format oci localhost/shop:$v oci-archive:"$out/shop-$v.oci.tar:example.org/shop:$v"
done

# The same images once more, as the daemon saves them.
dockerd --bridge=none --iptables=false --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/pid" \
    -H "unix://$work/sock" >"$work/dockerd.log" 2>&1 & daemon=$!
export DOCKER_HOST=unix://$work/sock
for _ in $(seq 60); do docker version >/dev/null 2>&1 && break; sleep 0.5; done
for v in v1 v2; do
    skopeo copy --quiet oci-archive:"$out/shop-$v.oci.tar" docker-archive:"$work/$v.tar:example.org/shop:$v"
    docker load --quiet -i "$work/$v.tar"
done
docker save -o "$out/shop.docker.tar" example.org/shop:v1 example.org/shop:v2
chmod 644 "$out"/shop*.tar
