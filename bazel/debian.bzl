"""debian_package: a Bazel repository made of one installed Debian package.

The libraries and tools that are named are linked into the repository, so an upgrade of the package
rebuilds what uses them. Headers stay where they are: /usr/include is a builtin include folder of
the compiler.
"""

_MULTIARCH = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
}

def _library_folder(ctx):
    result = ctx.execute(["dpkg", "--print-architecture"])
    arch = result.stdout.strip()
    if result.return_code != 0 or arch not in _MULTIARCH:
        fail("Meltemi builds on Debian 12 amd64 or arm64; dpkg says '%s'" % arch)
    return "/usr/lib/" + _MULTIARCH[arch]

def _require(ctx, path):
    if not ctx.path(path).exists:
        fail("%s is missing: run `apt-get install %s` (or `./meltemi setup`)" %
             (path, ctx.attr.package))
    return path

def _debian_package_impl(ctx):
    folder = _library_folder(ctx)
    for header in ctx.attr.headers:
        _require(ctx, header)
    for lib in ctx.attr.libs:
        ctx.symlink(_require(ctx, folder + "/" + lib), "lib/" + lib.split("/")[-1])
    for pattern in ctx.attr.lib_patterns:
        result = ctx.execute(["find", folder, "-maxdepth", "1", "-name", pattern])
        for path in sorted(result.stdout.split("\n")):
            if path:
                ctx.symlink(path, "lib/" + path.split("/")[-1])
    for name, path in ctx.attr.files.items():
        ctx.symlink(_require(ctx, path), name)
    if ctx.attr.build_file:
        ctx.template("BUILD.bazel", ctx.attr.build_file, {"%{lib_folder}": folder})
    for name, text in ctx.attr.build_files.items():
        ctx.file(name, text)

debian_package = repository_rule(
    implementation = _debian_package_impl,
    local = True,
    attrs = {
        "package": attr.string(mandatory = True, doc = "the Debian package to install"),
        "headers": attr.string_list(doc = "paths that must exist"),
        "libs": attr.string_list(doc = "files under /usr/lib/TRIPLET; appear as lib/NAME"),
        "lib_patterns": attr.string_list(doc = "glob patterns under /usr/lib/TRIPLET"),
        "files": attr.string_dict(doc = "path in the repository -> path on the machine"),
        "build_file": attr.label(allow_single_file = True),
        "build_files": attr.string_dict(doc = "path in the repository -> contents"),
    },
)
