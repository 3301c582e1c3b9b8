"""The BUILD files of @absl.

One library holds all of Abseil's archives (the linker takes what it needs); the component targets
are names for it, so that our BUILD files read as they would with upstream's Abseil.
"""

_COMPONENTS = {
    "algorithm": ["algorithm", "container"],
    "base": [
        "base",
        "config",
        "core_headers",
        "dynamic_annotations",
        "endian",
        "log_severity",
        "no_destructor",
        "prefetch",
    ],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "flags": ["commandlineflag", "config", "flag", "marshalling", "parse", "reflection", "usage"],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": ["bit_gen_ref", "distributions", "random", "seed_sequences"],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": ["any", "compare", "optional", "span", "variant"],
    "utility": ["utility"],
}

_ROOT = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "absl",
    srcs = glob(["lib/*.a"], exclude = ["lib/*test_util*"]),
    linkopts = ["-pthread"],
)
"""

def _component(names):
    text = "package(default_visibility = [\"//visibility:public\"])\n"
    for name in names:
        text += "alias(name = \"%s\", actual = \"//:absl\")\n" % name
    return text

def _build_files():
    files = {"BUILD.bazel": _ROOT}
    for folder, names in _COMPONENTS.items():
        files["absl/%s/BUILD.bazel" % folder] = _component(names)
    return files

ABSL_BUILD_FILES = _build_files()
