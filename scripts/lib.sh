# Shared by the scripts beside it: sourced from the repository's root, never run.
# shellcheck shell=bash

root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

lock_version() { awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock; }

# The command line tool must have the version of the crate.
wasm_bindgen_version=$(lock_version wasm-bindgen)
wasm_pack_version=0.15.1
geckodriver_version=0.37.1

# Tools live outside ~/.cargo/bin, so that no other project's version is replaced, and outlive a fresh clone.
tools=${REGRAFT_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/regraft/tools}
PATH=$tools/wasm-bindgen-cli-$wasm_bindgen_version/bin:$tools/wasm-pack-$wasm_pack_version/bin:$PATH

note() { printf '   %s\n' "$*"; }

# fail MISSING REMEDY
fail() {
    printf '\nerror: %s\n   fix: %s\n' "$1" "$2" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# step NAME COMMAND...: says what runs and how long it took.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n── %s\n' "$name"
    "$@"
    printf '── %s: %d s\n' "$name" $((SECONDS - start))
}

# Proves by linking a test binary that rustc $1 has a wasm32 standard library of its own version, and a linker for it; and
# that its sources are there, of which the build with threads makes one with atomics.
builds_wasm() {
    local out ok=0
    have "$1" && [[ -d $("$1" --print sysroot)/lib/rustlib/src/rust/library/std ]] || return 1
    out=$(mktemp -d)
    "$1" --target wasm32-unknown-unknown --test --crate-name probe -o "$out/probe.wasm" - >"$out/log" 2>&1 <<<'' || ok=1
    rm -r "$out"
    return $ok
}

# with_wasm FOLDER COMMAND...: runs it with the cargo that can build for wasm32. The target folder is not the native one,
# and one a set of flags: two compilers, or two sets of flags, that share a folder keep rebuilding each other's work.
with_wasm() (
    export CARGO_TARGET_DIR=$target/$1
    shift
    if ! builds_wasm rustc; then
        PATH=/usr/bin:$PATH
        builds_wasm rustc || fail 'no Rust compiler here builds for wasm32-unknown-unknown' 'scripts/setup'
    fi
    "$@"
)

# wasm_module DEV OUT FOLDER CARGO-OPTION...: the crate's module with its glue, compiled in FOLDER. DEV (true or false) as of scripts/build --dev.
wasm_module() {
    local dev=$1 out=$2 folder=$3 options=(--remove-name-section --remove-producers-section)
    shift 3
    if $dev; then
        export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
        options=(--keep-debug)
    fi
    with_wasm "$folder" cargo rustc --quiet --release --lib --crate-type cdylib --target wasm32-unknown-unknown "$@"
    rm -rf "$out"
    wasm-bindgen --target web --out-name regraft --out-dir "$out" "${options[@]}" "$target/$folder/wasm32-unknown-unknown/release/regraft.wasm"
}

# with_relaxed_simd COMMAND...: cargo adds the feature to the crates of this workspace alone, so that the builds share all others.
with_relaxed_simd() { RUSTC_WORKSPACE_WRAPPER=$root/scripts/rustc-relaxed-simd "$@"; }

# shellcheck disable=SC2034 # used by the scripts that source this
# The build with threads: relaxed-simd, an imported memory that instances share, and what wasm-bindgen needs to give each thread
# its own stack. Cargo has to build a standard library with atomics, an option of its nightly: RUSTC_BOOTSTRAP=1 lets the
# compiler of the other builds pass as one.
threads=(
    --features threads -Z build-std=std,panic_abort --config 'target.wasm32-unknown-unknown.rustflags=[
        "-Ctarget-feature=+relaxed-simd,+atomics,+bulk-memory,+mutable-globals",
        "-Clink-args=--shared-memory --import-memory --max-memory=4294967296",
        "-Clink-args=--export=__wasm_init_tls --export=__tls_size --export=__tls_align --export=__tls_base"]'
)

find_chrome() {
    local name
    for name in "${CHROME_BIN:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [[ -n $name ]] && have "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# For everything that drives a browser.
need_chrome() {
    CHROME_BIN=$(find_chrome) || fail 'no Chromium or Chrome found' 'scripts/setup, or set CHROME_BIN to its path'
    export CHROME_BIN
}

# For GPU tests: the Vulkan driver that runs shaders on the CPU, which comes with Chromium. A driver that is named already stays.
need_vulkan() {
    local folder found=''
    if [[ -n ${VK_ICD_FILENAMES:-} ]]; then return; fi
    for folder in "$(dirname "$(readlink -f "$(find_chrome)")")" /usr/lib/chromium /opt/google/chrome; do
        if [[ -f $folder/vk_swiftshader_icd.json ]]; then
            found=$folder/vk_swiftshader_icd.json
            break
        fi
    done
    [[ -n $found ]] || fail 'no Vulkan driver found beside Chromium' 'set VK_ICD_FILENAMES to the JSON file of a Vulkan driver'
    export VK_ICD_FILENAMES=$found
}

# Firefox and the driver that WebDriver clients talk to it through.
install_firefox() {
    local driver=$tools/geckodriver-$geckodriver_version packages=() as_root=() logs=$target/setup
    mkdir -p "$logs"
    have firefox-esr || packages+=(firefox-esr)
    [[ -e /usr/share/vulkan/icd.d/lvp_icd.json || -e /usr/share/vulkan/icd.d/lvp_icd.x86_64.json ]] || packages+=(mesa-vulkan-drivers)
    if ((${#packages[@]} > 0)); then
        if ((EUID != 0)); then as_root=(sudo -n); fi
        have apt-get || fail "missing: ${packages[*]} (names of Debian packages)" 'install them by the means of this system'
        { "${as_root[@]}" apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; } \
            >"$logs/firefox.log" 2>&1 || fail "apt-get install ${packages[*]} failed" "see $logs/firefox.log"
    fi
    if [[ ! -x $driver/bin/geckodriver ]]; then
        CARGO_TARGET_DIR=$target/tools CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=false \
            cargo install --root "$driver" --version $geckodriver_version geckodriver >"$logs/geckodriver.log" 2>&1 ||
            fail 'geckodriver could not be built' "see $logs/geckodriver.log"
        rm -rf "$target/tools"
    fi
    export GECKODRIVER=$driver/bin/geckodriver PATH=$driver/bin:$PATH
}

gzip_bytes() { gzip -9 -c "$1" | wc -c; }
