"""Rules behind meltemi_proto_library: run protoc, and put its headers on the include path."""

ProtoFilesInfo = provider(fields = {"files": "depset of the .proto files, imports included"})

def _below(path, root):
    return path[len(root) + 1:] if root else path

def _proto_cpp_sources_impl(ctx):
    imports = depset(transitive = [dep[ProtoFilesInfo].files for dep in ctx.attr.deps])
    root = ctx.attr.import_root
    out = ctx.bin_dir.path + ("/" + root if root else "")

    args = ctx.actions.args()
    args.add("--proto_path=" + (root or "."))
    args.add("--proto_path=" + ("." if root else "api"))
    args.add("--proto_path=/usr/include")
    args.add("--cpp_out=" + out)
    tools = [ctx.file._protoc]
    if ctx.attr.grpc:
        args.add("--plugin=protoc-gen-grpc=" + ctx.file._grpc_plugin.path)
        args.add("--grpc_out=" + out)
        tools.append(ctx.file._grpc_plugin)
    for src in ctx.files.srcs:
        args.add(_below(src.path, root))

    ctx.actions.run(
        executable = ctx.file._protoc,
        arguments = [args],
        inputs = depset(ctx.files.srcs, transitive = [imports]),
        outputs = ctx.outputs.outs,
        tools = tools,
        mnemonic = "ProtoCpp",
        progress_message = "Generating C++ for %s" % ctx.label,
    )
    ctx.actions.write(ctx.outputs.unity, _unity(ctx.outputs.outs, out))
    return [ProtoFilesInfo(files = depset(ctx.files.srcs, transitive = [imports]))]

# protoc gives these names to a table in every file it generates.
_NAMES_OF_EVERY_FILE = ["schemas", "file_default_instances"]

def _unity(outs, out):
    """One translation unit for all files of a target: most of the time goes into their headers."""
    lines = ["#include \"%s\"" % _below(file.path, out) for file in outs if file.extension == "h"]
    number = 0
    for file in outs:
        if file.extension == "h":
            continue
        number += 1
        lines += ["#define %s %s_%d" % (name, name, number) for name in _NAMES_OF_EVERY_FILE]
        lines.append("#include \"%s\"" % _below(file.path, out))
        lines += ["#undef " + name for name in _NAMES_OF_EVERY_FILE]
    return "\n".join(lines) + "\n"

proto_cpp_sources = rule(
    implementation = _proto_cpp_sources_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        "outs": attr.output_list(mandatory = True),
        "unity": attr.output(mandatory = True),
        "deps": attr.label_list(providers = [ProtoFilesInfo]),
        "grpc": attr.bool(),
        "import_root": attr.string(),
        "_protoc": attr.label(default = "@protobuf//:bin/protoc", allow_single_file = True),
        "_grpc_plugin": attr.label(
            default = "@grpc//:bin/grpc_cpp_plugin",
            allow_single_file = True,
        ),
    },
)

def _proto_include_path_impl(ctx):
    root = ctx.bin_dir.path + ("/" + ctx.attr.root if ctx.attr.root else "")
    return [CcInfo(compilation_context = cc_common.create_compilation_context(
        system_includes = depset([root]),
    ))]

proto_include_path = rule(
    doc = "One -isystem for all generated headers of an import root: they never warn.",
    implementation = _proto_include_path_impl,
    attrs = {"root": attr.string()},
)

def _proto_descriptors_impl(ctx):
    files = depset(
        ctx.files.srcs,
        transitive = [dep[ProtoFilesInfo].files for dep in ctx.attr.deps],
    )
    descriptors = ctx.actions.declare_file(ctx.label.name + ".binpb")
    root = ctx.attr.import_root
    args = ctx.actions.args()
    args.add_all(["--proto_path=" + root, "--proto_path=/usr/include", "--include_source_info"])
    args.add(descriptors, format = "--descriptor_set_out=%s")
    args.add_all([_below(file.path, root) for file in files.to_list()])
    ctx.actions.run(
        executable = ctx.file._protoc,
        arguments = [args],
        inputs = files,
        outputs = [descriptors],
        tools = [ctx.file._protoc],
        mnemonic = "ProtoDescriptors",
        progress_message = "Describing protos for %s" % ctx.label,
    )

    namespace, _, function = ctx.attr.function.rpartition("::")
    header = ctx.outputs.header
    ctx.actions.write(header, _DESCRIPTORS_HEADER.format(
        function = function,
        label = str(ctx.label),
        namespace = namespace,
    ))
    prologue = _DESCRIPTORS_PROLOGUE.format(header = header.short_path, namespace = namespace)
    epilogue = _DESCRIPTORS_EPILOGUE.format(function = function, namespace = namespace)
    # As numbers of a C++ array: "1,2,3,".
    numbers = "od -An -v -tu1 -w24 | sed 's/ *\\([0-9]\\+\\)/\\1,/g'"
    ctx.actions.run_shell(
        command = ("set -eo pipefail; " +
                   "{{ printf %s '{}'; gzip -9nc {} | {}; printf %s '{}'; }} >{}").format(
            prologue,
            descriptors.path,
            numbers,
            epilogue,
            ctx.outputs.source.path,
        ),
        inputs = [descriptors],
        outputs = [ctx.outputs.source],
        mnemonic = "EmbedDescriptors",
    )
    return []

_DESCRIPTORS_HEADER = """// Generated for {label}.
#pragma once

#include "absl/strings/string_view.h"

namespace {namespace} {{

// A google.protobuf.FileDescriptorSet with comments, compressed with gzip.
absl::string_view {function}();

}}  // namespace {namespace}
"""

_DESCRIPTORS_PROLOGUE = """#include "{header}"

namespace {namespace} {{
namespace {{
constexpr unsigned char kBytes[] = {{
"""

_DESCRIPTORS_EPILOGUE = """}};
}}  // namespace

absl::string_view {function}() {{
  return absl::string_view(reinterpret_cast<const char*>(kBytes), sizeof(kBytes));
}}

}}  // namespace {namespace}
"""

proto_descriptors = rule(
    doc = "C++ source with a function that returns the descriptors of .proto files and their deps.",
    implementation = _proto_descriptors_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        "deps": attr.label_list(providers = [ProtoFilesInfo]),
        "function": attr.string(mandatory = True),
        "import_root": attr.string(),
        "header": attr.output(mandatory = True),
        "source": attr.output(mandatory = True),
        "_protoc": attr.label(default = "@protobuf//:bin/protoc", allow_single_file = True),
    },
)
