#!/usr/bin/env bash
# Fetches QEMU and a kernel for the emulated enclave into the cache of ./test; prints where they are.
# Nothing is installed: Debian 13's packages are unpacked beside the system, with apt's own checks of
# their signatures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
source scripts/common.sh

release=trixie
modules=(
    net/vmw_vsock/vsock
    net/vmw_vsock/vmw_vsock_virtio_transport_common
    net/vmw_vsock/vmw_vsock_virtio_transport
    drivers/virtio/virtio_mmio
    drivers/misc/nsm
)

# A change of this file fetches anew.
key=$(sha256sum <proxy/tests/enclave/fetch.sh)
fetched=$cache/enclave-${key:0:16}
if [[ -e $fetched/vmlinuz ]]; then
    say "$fetched"
    exit
fi

for command in apt-get dpkg xz; do
    have "$command" || skip "NOT RUN: $command is missing; the emulated enclave is made of Debian's packages"
done
mkdir -p "$cache"
work=$(mktemp -d "$fetched.XXXXXX")
trap 'rm -rf "$work"' EXIT

mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$work"/apt/{lists/partial,archives/partial,parts} "$work"/{debs,qemu,kernel,modules}
: >"$work/apt/status"
for suite in "$release" "$release-backports"; do
    say "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} $suite main"
done >"$work/apt/sources.list"
cat >"$work/apt/conf" <<CONF
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::Etc::preferencesparts "$work/apt/parts";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
APT::Architecture "amd64";
APT::Sandbox::User "";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
export APT_CONFIG=$work/apt/conf

apt-get -qq update >&2 || skip "NOT RUN: no lists of Debian packages from ${mirror:-deb.debian.org}"

# Everything that QEMU needs, as if nothing were installed; not what only sets up a system.
set_up='^(debconf|base-passwd|passwd|adduser|login|lib(debconf|pam|semanage|audit|db5)|gcc-1|openssl-prov)'
mapfile -t packages < <(
    apt-get install -s --no-install-recommends -t "$release-backports" qemu-system-x86 \
        | awk '/^Inst/ { print $2 }' | grep -vE "$set_up"
)
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
[[ ${#packages[@]} -gt 0 && -n $kernel ]] || skip "NOT RUN: no QEMU or kernel in Debian $release"
(
    cd "$work/debs"
    apt-get -qq download -t "$release-backports" "${packages[@]}" >&2
    for package in *.deb; do dpkg -x "$package" ../qemu; done
    rm -- *.deb
    apt-get -qq download "$kernel-unsigned" >&2 || apt-get -qq download "$kernel" >&2
    dpkg -x linux-image-*.deb ../kernel
)
for module in "${modules[@]}"; do
    found=$(find "$work/kernel" -path "*/kernel/$module.ko*" -print -quit)
    case $found in
        *.xz) xz -dc "$found" ;;
        *.ko) cat "$found" ;;
        *) fail "the kernel $kernel has no module $module" ;;
    esac >"$work/modules/${module##*/}.ko"
done
cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
cp "$work"/kernel/boot/config-* "$work/config"
cat >"$work/qemu-system-x86_64" <<'QEMU'
#!/usr/bin/env bash
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/qemu
export QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
QEMU
chmod +x "$work/qemu-system-x86_64"
rm -rf "$work"/{apt,debs,kernel}
"$work/qemu-system-x86_64" --version | head -n 1 >&2
"$work/qemu-system-x86_64" -device vhost-user-test-device,help >/dev/null
chmod 755 "$work"
mv -T "$work" "$fetched" 2>/dev/null || [[ -e $fetched/vmlinuz ]]
say "$fetched"
