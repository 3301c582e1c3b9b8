#include "orchestrator/apiserver/schema/kube_files.h"

#include <google/protobuf/io/gzip_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "absl/strings/string_view.h"
#include "api/kube/descriptors.h"
#include "base/log/log.h"

namespace meltemi::apiserver {

google::protobuf::FileDescriptorSet KubeFiles() {
  const absl::string_view bytes = kube::Descriptors();
  google::protobuf::io::ArrayInputStream compressed(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::GzipInputStream stream(&compressed);
  google::protobuf::FileDescriptorSet files;
  CHECK(files.ParseFromZeroCopyStream(&stream));
  return files;
}

}  // namespace meltemi::apiserver
