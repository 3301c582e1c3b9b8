// A tar file whose members are named by what is in them: contents are hashed while they are
// written, and the header is put before them afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

// SHA-256 in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;
  void Add(absl::string_view bytes);
  std::string FinishHex();  // once

 private:
  void* context_;
};

struct Blob {
  std::string sha256_hex;
  uint64_t size_bytes = 0;
};

class BlobFile {
 public:
  // Beside `path`, which it becomes with Finish.
  static absl::StatusOr<std::unique_ptr<BlobFile>> Create(const std::string& path);
  // Not finished: nothing stays.
  ~BlobFile();

  absl::Status AddFile(const std::string& name, absl::string_view bytes);
  absl::Status AddFolder(const std::string& name);
  // One at a time: Begin, Write…, End. The member is blobs/sha256/HEX.
  absl::Status BeginBlob();
  absl::Status WriteBlob(absl::string_view bytes);
  absl::StatusOr<Blob> EndBlob();
  absl::StatusOr<Blob> AddBlob(absl::string_view bytes);
  // The size of the file.
  absl::StatusOr<uint64_t> Finish();

 private:
  BlobFile(std::string path, int fd);
  absl::Status Write(absl::string_view bytes);

  const std::string path_, temporary_path_;
  int fd_;
  uint64_t offset_ = 0;
  // Of the blob under way.
  uint64_t header_at_ = 0, blob_bytes_ = 0;
  std::unique_ptr<Sha256Stream> sha_;
};

}  // namespace meltemi::cli
