#!/usr/bin/env bash
# scripts/reproducible.sh
#
# Builds what is delivered twice, and fails if one bit differs: steve-proxy and steve-init as
# scripts/build-static.sh makes them, the initramfs that deploy/image.sh packs of them, and the npm
# package. The first build is the one in this tree; the second is made of a copy of it in another
# directory, later, with other HOME, CARGO_HOME, locale, time zone, umask and SOURCE_DATE_EPOCH; run
# by root, also by another user with a copy of the Rust toolchain in another directory.
#
# The compilers are the same for both: they are a part of what a rebuild must have in common.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
chmod 755 "$elsewhere"
tree=$elsewhere/a\ copy/steve
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
triple=$(rustc -vV | sed -n 's/^host: //p')

# build: all of it from the current directory, into $1
build() {
    local binaries=${CARGO_TARGET_DIR:-target}/$triple/release
    mkdir -p "$1"
    scripts/build-static.sh
    cp "$binaries/steve-proxy" "$binaries/steve-init" "$1/"
    deploy/image.sh --init "$1/steve-init" --proxy "$1/steve-proxy" --app "$1/steve-proxy" \
        --config deploy/init.json --out "$1/initramfs.cpio.gz"
    sdk-wasm/build.sh
    (cd sdk-wasm && npm pack --silent --ignore-scripts --pack-destination "$1")
}

if [[ ${1:-} == --build ]]; then
    build "$2"
    exit
fi

copy_tree() (
    umask 077
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard \
        | while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done \
        | tar --create --null --files-from=- \
        | tar --extract --touch --no-same-permissions --no-same-owner --directory "$tree"
)

# What would only be downloaded or, of tools, compiled once more.
copy_caches() {
    local npm_cache
    npm_cache=$(npm config get cache 2>/dev/null)
    mkdir -p "$elsewhere"/{cargo/registry,cache,home,npm}
    cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/{cache,index} "$elsewhere/cargo/registry/" || true
    [[ ! -d $cache/bindgen ]] || cp -r --preserve=mode,timestamps "$cache/bindgen" "$elsewhere/cache/"
    [[ ! -d $npm_cache/_cacache ]] || cp -r "$npm_cache/_cacache" "$elsewhere/npm/"
}

build_elsewhere() {
    local sysroot as=() option value settings=()
    sysroot=$(rustc --print sysroot)
    if [[ $EUID -eq 0 ]]; then
        mkdir "$elsewhere/rust"
        cp -r "$sysroot"/{bin,lib} "$elsewhere/rust/"
        sysroot=$elsewhere/rust
        chown -R nobody "$elsewhere"
        as=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups)
    fi
    for option in registry cafile; do
        value=$(npm config get "$option" 2>/dev/null)
        [[ $value == null ]] || settings+=("npm_config_$option=$value")
    done
    (
        cd "$tree"
        umask 077
        "${as[@]}" env -u CARGO_TARGET_DIR "${settings[@]}" PATH="$sysroot/bin:/usr/local/bin:/usr/bin:/bin" \
            HOME="$elsewhere/home" USER=nobody LOGNAME=nobody CARGO_HOME="$elsewhere/cargo" \
            STEVE_TEST_CACHE="$elsewhere/cache" npm_config_cache="$elsewhere/npm" \
            LC_ALL=C.UTF-8 LANGUAGE=de TZ=Pacific/Kiritimati SOURCE_DATE_EPOCH=946684800 \
            bash scripts/reproducible.sh --build "$elsewhere/there"
    )
}

# section_of OFFSET FILE: the name of the ELF section in which it is
section_of() {
    local name address offset size
    readelf --section-headers --wide "$2" | sed -n 's/^ *\[ *[0-9]*\] *//p' \
        | while read -r name _ address offset size _; do
            [[ $offset =~ ^[0-9a-f]+$ && $size =~ ^[0-9a-f]+$ ]] || continue
            if (($1 >= 16#$offset && $1 < 16#$offset + 16#$size)); then
                say "section $name, at address 0x$address and after"
            fi
        done
}

# first_difference FILE FILE: where they differ first
first_difference() {
    local offset
    offset=$(($(cmp "$1" "$2" | sed 's/.* byte \([0-9]*\),.*/\1/') - 1))
    say "first difference: byte $offset"
    case $1 in
        *.tgz)
            mkdir "$elsewhere"/{a,b}
            tar -xzf "$1" -C "$elsewhere/a"
            tar -xzf "$2" -C "$elsewhere/b"
            diff -rq "$elsewhere/a" "$elsewhere/b" | head -n 1
            ;;
        *.gz) ;;
        *) section_of "$offset" "$1" ;;
    esac
}

# compare NAME: prints the hashes of the two builds, and counts differences
different=0
compare() {
    local here=$elsewhere/here/$1 there=$elsewhere/there/$1
    say "$1"
    say "    here       $(sha256sum <"$here" | cut -d' ' -f1)"
    say "    elsewhere  $(sha256sum <"$there" | cut -d' ' -f1)"
    cmp -s "$here" "$there" && return
    first_difference "$here" "$there"
    different=$((different + 1))
}

say "--- here"
build "$elsewhere/here"
copy_tree
copy_caches
say "--- elsewhere"
build_elsewhere
say "--- $(rustc --version), $("${CC:-cc}" --version | head -n 1)"
for name in steve-proxy steve-init initramfs.cpio.gz "steve-sdk-$version.tgz"; do
    compare "$name"
done
[[ $different -eq 0 ]] || fail "$different of the results depend on where they are built"
say "both builds are identical"
