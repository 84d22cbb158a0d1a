#!/usr/bin/env bash
# sdk-python/build.sh [OUT [LIBRARY]]
#
# Builds the wheel into OUT, which is sdk-python/dist unless given: package, generated module and
# native library. LIBRARY is a build of that with symbols, for tests; without one, it is built
# optimised and cannot trust any attestation root but AWS's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
umask 022 # a wheel keeps the modes of files

out=${1:-sdk-python/dist} library=${2:-}
mkdir -p "$out"
out=$(realpath "$out")

need cc gcc libc6-dev
need readelf binutils
python_env sdk-python/requirements.txt

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
grep -q "^version = \"$version\"$" sdk-python/pyproject.toml \
    || fail "the version in sdk-python/pyproject.toml is not the workspace's, $version"

build_library() {
    local flags
    flags=$(remap_flags rustc)
    CARGO_ENCODED_RUSTFLAGS=${flags//$'\n'/$'\x1f'} cargo build --locked --profile bindings -p steve-native
    library=$(native_library bindings)
    ! grep -qa dangerous_development "$library" || fail "$library trusts what is for development"
}

# platform LIBRARY: the tag of the systems that it runs on: what it needs of them is glibc alone, and of
# that no later version (PEP 600)
platform() {
    local others glibc
    [[ $(uname) == Linux ]] || { "$python" -c 'import sysconfig as s; print(s.get_platform())'; return; }
    others=$(readelf --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' \
        | grep -vxE 'lib(c|m|dl|pthread|rt|gcc_s)\.so\.[0-9]|ld-linux-.*' || true)
    [[ -z $others ]] || fail "the library needs what not every system has: ${others//$'\n'/ }"
    glibc=$(readelf --version-info --wide "$1" | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
    [[ -n $glibc ]] || fail "the library is not for glibc: there is no tag for that here"
    printf 'manylinux_2_%s_%s\n' "${glibc#GLIBC_2.}" "$(uname -m)"
}

[[ -n $library ]] || build_library

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/steve"
cp sdk-python/{pyproject.toml,setup.py,README.md} LICENSE-* "$tree/"
cp sdk-python/steve/{__init__.py,errors.py,py.typed} "$tree/steve/"
scripts/bindings.sh "$tree/generated" "$library"
cp "$tree/generated/python/steve.py" "$tree/steve/_native.py"
cp "$library" "$tree/steve/"
# The generator has read its symbols.
strip -S -x "$tree/steve/$(basename "$library")"

platform=$(platform "$library")
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}
"$python" -m pip wheel --quiet --disable-pip-version-check --no-index --no-build-isolation --no-deps \
    --wheel-dir "$out" --config-settings=--build-option=--plat-name="$platform" "$tree"
ls -l "$out"/steve_sdk-"$version"-*.whl
