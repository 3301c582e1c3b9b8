#include "cli/images/blob_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/images/tar.h"

namespace meltemi::cli {
namespace {

EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

std::string TemporaryPath(const std::string& path) {
  return absl::StrCat(path, ".", getpid(), ".tmp");
}

absl::Status SystemError(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

}  // namespace

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(Context(context_), EVP_sha256(), nullptr);
}

Sha256Stream::~Sha256Stream() { EVP_MD_CTX_free(Context(context_)); }

void Sha256Stream::Add(absl::string_view bytes) {
  EVP_DigestUpdate(Context(context_), bytes.data(), bytes.size());
}

std::string Sha256Stream::FinishHex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_DigestFinal_ex(Context(context_), digest.data(), &length);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

absl::StatusOr<std::unique_ptr<BlobFile>> BlobFile::Create(const std::string& path) {
  const std::string temporary = TemporaryPath(path);
  const int fd = open(temporary.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError(path);
  return std::unique_ptr<BlobFile>(new BlobFile(path, fd));
}

BlobFile::BlobFile(std::string path, int fd)
    : path_(std::move(path)), temporary_path_(TemporaryPath(path_)), fd_(fd) {}

BlobFile::~BlobFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_path_.c_str());
}

absl::Status BlobFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path_);
    offset_ += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status BlobFile::AddFile(const std::string& name, absl::string_view bytes) {
  TarEntry entry;
  entry.name = name;
  entry.size_bytes = bytes.size();
  absl::Status status = Write(TarHeader(entry));
  if (status.ok()) status = Write(bytes);
  if (status.ok()) status = Write(TarPadding(bytes.size()));
  return status;
}

absl::Status BlobFile::AddFolder(const std::string& name) {
  TarEntry entry;
  entry.name = name + "/";
  entry.type = '5';
  entry.mode = 0755;
  return Write(TarHeader(entry));
}

absl::Status BlobFile::BeginBlob() {
  header_at_ = offset_;
  blob_bytes_ = 0;
  sha_ = std::make_unique<Sha256Stream>();
  return Write(std::string(kTarBlockBytes, '\0'));
}

absl::Status BlobFile::WriteBlob(absl::string_view bytes) {
  sha_->Add(bytes);
  blob_bytes_ += bytes.size();
  return Write(bytes);
}

absl::StatusOr<Blob> BlobFile::EndBlob() {
  const Blob blob = {sha_->FinishHex(), blob_bytes_};
  if (absl::Status status = Write(TarPadding(blob_bytes_)); !status.ok()) return status;
  TarEntry entry;
  entry.name = absl::StrCat("blobs/sha256/", blob.sha256_hex);
  entry.size_bytes = blob_bytes_;
  const uint64_t end = std::exchange(offset_, header_at_);
  const absl::Status status = Write(TarHeader(entry));
  offset_ = end;
  if (!status.ok()) return status;
  return blob;
}

absl::StatusOr<Blob> BlobFile::AddBlob(absl::string_view bytes) {
  absl::Status status = BeginBlob();
  if (status.ok()) status = WriteBlob(bytes);
  if (!status.ok()) return status;
  return EndBlob();
}

absl::StatusOr<uint64_t> BlobFile::Finish() {
  if (absl::Status status = Write(TarEnd()); !status.ok()) return status;
  const int fd = std::exchange(fd_, -1);
  if (close(fd) != 0 || rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    absl::Status status = SystemError(path_);
    unlink(temporary_path_.c_str());
    return status;
  }
  return offset_;
}

}  // namespace meltemi::cli
