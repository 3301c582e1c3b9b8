"""Meltemi's build macros: the native C++ rules with our compiler flags, protos, and fuzz targets.

    meltemi_cc_library(name, srcs, hdrs, deps, ...)    a library; no exceptions
    meltemi_cc_binary(name, srcs, deps, ...)           a program
    meltemi_cc_test(name, srcs, deps, ...)             a GoogleTest program (gtest_main is added)
    meltemi_cc_benchmark(name, srcs, deps, ...)        a Google Benchmark program, built on demand
    meltemi_proto_library(name, srcs, deps, grpc)      .proto -> C++ messages (and gRPC stubs)
    meltemi_proto_descriptors(name, srcs, function)    .proto -> their descriptors as bytes
    meltemi_cc_fuzz_test(name, srcs, corpus, deps)     replays the corpus; fuzzes on demand
"""

load("//bazel:proto.bzl", "proto_cpp_sources", "proto_descriptors")

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wcast-qual",
    "-Wextra-semi",
    "-Wimplicit-fallthrough",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wvla",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",  # designated initialisers with defaults are our idiom
]

# Warnings of gcc 12's optimiser that fire on correct uses of std::string, optional and variant.
_FALSE_ALARMS = [
    "-Wno-array-bounds",
    "-Wno-dangling-pointer",
    "-Wno-maybe-uninitialized",
    "-Wno-restrict",
    "-Wno-stringop-overflow",
    "-Wno-stringop-overread",
]

def _copts(copts, exceptions):
    """Flags of our own code. exceptions: for the few places that wrap a library which throws."""
    return WARNINGS + _FALSE_ALARMS + ([] if exceptions else ["-fno-exceptions"]) + copts

def meltemi_cc_library(name, copts = [], exceptions = False, **kwargs):
    # linkstatic: no shared library beside the archive, so each file is compiled once.
    native.cc_library(
        name = name,
        copts = _copts(copts, exceptions),
        linkstatic = True,
        **kwargs
    )

def meltemi_cc_binary(name, copts = [], exceptions = False, **kwargs):
    native.cc_binary(name = name, copts = _copts(copts, exceptions), **kwargs)

def meltemi_cc_test(
        name,
        deps = [],
        copts = [],
        exceptions = False,
        main = True,
        size = "small",
        **kwargs):
    """A GoogleTest program. main = False: the test brings its own main()."""
    gtest = "@gtest//:gtest_main" if main else "@gtest//:gtest"
    listed = ["@gtest//:gtest", "@gtest//:gtest_main", "@gtest//:gmock", "@gtest"]
    native.cc_test(
        name = name,
        size = size,
        copts = _copts(copts, exceptions),
        deps = [dep for dep in deps if dep not in listed] + [gtest, "//bazel:sanitizer_defaults"],
        **kwargs
    )

def meltemi_cc_benchmark(name, deps = [], copts = [], tags = [], **kwargs):
    native.cc_binary(
        name = name,
        testonly = True,
        copts = _copts(copts, False),
        tags = tags + ["manual"],
        deps = deps + ["@benchmark//:benchmark_main"],
        **kwargs
    )

def _protos_of(label):
    """The label of the .proto files behind the C++ library at `label`."""
    if ":" in label:
        return label + "_protos"
    return label + ":" + label.split("/")[-1] + "_protos"

def meltemi_proto_library(
        name,
        srcs,
        deps = [],
        grpc = False,
        import_root = "api",
        visibility = None,
        testonly = False):
    """C++ classes for .proto files, included as "path/below/import_root/x.pb.h".

    Args:
      name: the C++ library to depend on.
      srcs: .proto files of this package.
      deps: other meltemi_proto_library targets whose files are imported; Google's well-known types
        (google/protobuf/*.proto) need no entry.
      grpc: also generate "x.grpc.pb.h" and link gRPC. Nothing in proxy/ may use such a target.
      import_root: the folder that `import "..."` lines are relative to; "" for the workspace root.
    """
    generated = {"hdrs": [], "srcs": []}
    for suffix in [".pb"] + ([".grpc.pb"] if grpc else []):
        for src in srcs:
            generated["hdrs"].append(src[:-len(".proto")] + suffix + ".h")
            generated["srcs"].append(src[:-len(".proto")] + suffix + ".cc")
    proto_cpp_sources(
        name = name + "_protos",
        srcs = srcs,
        outs = generated["hdrs"] + generated["srcs"],
        unity = name + "_unity.cc",
        deps = [_protos_of(dep) for dep in deps],
        grpc = grpc,
        import_root = import_root,
        visibility = visibility,
        testonly = testonly,
    )
    include_path = "//bazel:proto_includes_" + ("api" if import_root == "api" else "root")
    native.cc_library(
        name = name,
        srcs = [name + "_unity.cc"],
        hdrs = generated["hdrs"],
        textual_hdrs = generated["srcs"],
        copts = ["-w", "-Os", "-g0"],
        linkstatic = True,
        deps = deps + [include_path, "@protobuf"] + (["@grpc//:grpc++"] if grpc else []),
        visibility = visibility,
        testonly = testonly,
    )

def meltemi_proto_descriptors(name, srcs, function, deps = [], import_root = "api", **kwargs):
    """A function that returns the compressed descriptors of .proto files, comments included.

    Args:
      name: the C++ library to depend on; the header is NAME.h.
      srcs: .proto files of this package.
      function: the function's full name, "meltemi::kube::Descriptors".
      deps: meltemi_proto_library targets whose files are described too.
      import_root: as for meltemi_proto_library.
      **kwargs: for the C++ library.
    """
    proto_descriptors(
        name = name + "_sources",
        srcs = srcs,
        deps = [_protos_of(dep) for dep in deps],
        function = function,
        header = name + ".h",
        import_root = import_root,
        source = name + ".cc",
    )
    meltemi_cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = [name + ".h"],
        deps = ["@absl//absl/strings"],
        **kwargs
    )

def meltemi_cc_fuzz_test(
        name,
        srcs,
        corpus = [],
        deps = [],
        copts = [],
        exceptions = False,
        size = "small",
        tags = [],
        **kwargs):
    """A libFuzzer target: `extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t)`.

    As a test it replays the corpus and seeded mutations of it with the normal compiler; the program
    NAME_fuzzer, which `./meltemi fuzz` builds with clang, searches for new inputs.
    """
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = ["$(rootpath %s)" % file for file in corpus],
        copts = _copts(copts, exceptions),
        data = corpus,
        tags = tags + ["fuzz"],
        deps = deps + ["//bazel/fuzz:replay_main"],
        **kwargs
    )
    native.cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        srcs = srcs,
        copts = _copts(copts, exceptions),
        data = corpus,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps,
    )
