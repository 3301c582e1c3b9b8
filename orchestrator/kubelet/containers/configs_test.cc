#include "orchestrator/kubelet/containers/configs.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/client/client_fake.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor_fake.h"
#include "kube/informer/informer.h"
#include "orchestrator/kubelet/containers/no_volumes_fake.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"

namespace meltemi::kubelet {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigsTest : public ::testing::Test {
 protected:
  ConfigsTest() {
    fs::remove_all(root_);
    client_.on_call = [this](const kube::ApiCall& call) -> kube::Result<kube::ApiAnswer> {
      const auto it = objects_.find(call.path);
      if (it != objects_.end()) return kube::ApiAnswer{.body = it->second};
      kube::Status missing = kube::GenericStatus(404, "not found");
      missing.reason = "NotFound";
      return missing;
    };
    objects_["/api/v1/services"] = R"({"kind":"ServiceList","metadata":{"resourceVersion":"1"},
      "items":[
       {"metadata":{"name":"kubernetes","namespace":"default","uid":"1","resourceVersion":"1"},
        "spec":{"clusterIP":"10.96.0.1","ports":[{"name":"https","port":443,"protocol":"TCP"}]}},
       {"metadata":{"name":"my-db","namespace":"shop","uid":"2","resourceVersion":"1"},
        "spec":{"clusterIP":"10.96.0.7","ports":[{"port":53,"protocol":"UDP"}]}},
       {"metadata":{"name":"headless","namespace":"shop","uid":"3","resourceVersion":"1"},
        "spec":{"clusterIP":"None","ports":[{"port":80}]}},
       {"metadata":{"name":"far","namespace":"other","uid":"4","resourceVersion":"1"},
        "spec":{"clusterIP":"10.96.0.8","ports":[{"port":80}]}}]})";
    machine_.AddImage("busybox");
    informers_ = kube::NewInformers(client_, executor_);
    ContainerConfigsOptions options{.node_name = "n1",
                                    .root = root_ / "kubelet",
                                    .log_root = root_ / "logs",
                                    .cluster_dns = {"10.96.0.10"},
                                    .node_ips = {"192.168.0.1"}};
    configs_ =
        NewContainerConfigs(options, client_, *informers_, *runtime_, volumes_, executor_.clock());
  }
  ~ConfigsTest() override { fs::remove_all(root_); }

  void Sync() {
    informers_->Start();
    executor_.Advance(seconds(1));
  }
  static kube::core::v1::Pod PodOf(const std::string& spec) {
    kube::core::v1::Pod out;
    const absl::Status read = kube::FromJson(
        R"({"metadata":{"name":"web","namespace":"shop","uid":"u1","labels":{"app":"web"},
            "annotations":{"note":"x"}},"spec":)" +
            spec + "}",
        &out);
    EXPECT_TRUE(read.ok()) << read;
    return out;
  }
  // The first container's configuration, or the error.
  cri::ContainerConfig Make(const std::string& container, uint32_t attempt = 0,
                            const PodMounts& mounts = {}) {
    const auto pod =
        PodOf(R"({"nodeName":"n1","serviceAccountName":"robot","containers":[)" + container + "]}");
    cri::ContainerConfig out;
    ConfigError error;
    error_.clear();
    if (!configs_->Container(pod, pod.spec().containers(0), attempt,
                             runtime_->ImageStatus("busybox")->id(), mounts, {"10.244.0.5"}, &out,
                             &error)) {
      EXPECT_EQ(error.reason, "CreateContainerConfigError");
      error_ = error.message;
    }
    return out;
  }
  static std::string Env(const cri::ContainerConfig& config, const std::string& name) {
    for (const auto& variable : config.envs()) {
      if (variable.key() == name) return variable.value();
    }
    return "(none)";
  }

  const fs::path root_ = fs::path(testing::TempDir()) / "configs";
  kube::ExecutorFake executor_;
  kube::ClientFake client_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  NoVolumes volumes_;
  std::map<std::string, std::string> objects_;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<ContainerConfigs> configs_;
  std::string error_;
};

TEST_F(ConfigsTest, ASandboxHasThePodsNamesPortsAndFolders) {
  const auto pod = PodOf(R"({"hostname":"box","subdomain":"sub","dnsPolicy":"ClusterFirst",
    "setHostnameAsFQDN":true,"securityContext":{"sysctls":[{"name":"net.x","value":"1"}]},
    "containers":[{"name":"app","ports":[{"containerPort":80,"hostPort":8080},
                                         {"containerPort":53,"protocol":"UDP"}]}]})");
  const auto config = configs_->Sandbox(pod, 2, "/kubepods/podu1");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->metadata().attempt(), 2u);
  EXPECT_EQ(config->hostname(), "box.sub.shop.svc.cluster.local");
  EXPECT_EQ(config->labels().at("app"), "web");
  EXPECT_EQ(config->labels().at("io.kubernetes.pod.uid"), "u1");
  EXPECT_EQ(config->annotations().at("note"), "x");
  EXPECT_EQ(config->port_mappings(0).host_port(), 8080);
  EXPECT_EQ(config->port_mappings(1).protocol(), cri::UDP);
  EXPECT_EQ(config->linux().cgroup_parent(), "/kubepods/podu1");
  EXPECT_EQ(config->linux().sysctls().at("net.x"), "1");
  EXPECT_EQ(config->log_directory(), (root_ / "logs/shop_web_u1").string());
  EXPECT_TRUE(fs::is_directory(config->log_directory()));
  EXPECT_THAT(config->dns_config().servers(), ElementsAre("10.96.0.10"));
}

TEST_F(ConfigsTest, AHostNameThatIsTooLongIsCutOrRefused) {
  const std::string name(70, 'n');
  EXPECT_EQ(configs_->Sandbox(PodOf(R"({"hostname":")" + name + R"("})"), 0, "")->hostname().size(),
            63u);
  const auto long_fqdn = configs_->Sandbox(
      PodOf(R"({"hostname":")" + name + R"(","subdomain":"s","setHostnameAsFQDN":true})"), 0, "");
  EXPECT_THAT(std::string(long_fqdn.status().message()), HasSubstr("is too long (64 characters"));
}

TEST_F(ConfigsTest, VariablesComeFromEverywhere) {
  Sync();
  objects_["/api/v1/namespaces/shop/configmaps/conf"] =
      R"({"metadata":{"name":"conf","namespace":"shop"},"data":{"k":"v","j":"w"}})";
  objects_["/api/v1/namespaces/shop/secrets/sec"] =
      R"({"metadata":{"name":"sec","namespace":"shop"},"data":{"p":"cGFzcw=="}})";
  const auto config = Make(R"j({"name":"app","image":"busybox","command":["echo","$(A)"],
    "args":["$(MY_DB_SERVICE_HOST)","$(NOPE)"],
    "envFrom":[{"prefix":"C_","configMapRef":{"name":"conf"}},
               {"secretRef":{"name":"missing","optional":true}}],
    "env":[{"name":"A","value":"1"},{"name":"B","value":"$(A)-$(C_k)"},
      {"name":"K","valueFrom":{"configMapKeyRef":{"name":"conf","key":"j"}}},
      {"name":"P","valueFrom":{"secretKeyRef":{"name":"sec","key":"p"}}},
      {"name":"O","valueFrom":{"secretKeyRef":{"name":"sec","key":"no","optional":true}}},
      {"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}},
      {"name":"SA","valueFrom":{"fieldRef":{"fieldPath":"spec.serviceAccountName"}}},
      {"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
      {"name":"HOST","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}},
      {"name":"APP","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}},
      {"name":"CPU","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}}],
    "resources":{"limits":{"cpu":"1500m"}}})j");
  EXPECT_EQ(error_, "");
  EXPECT_THAT(config.command(), ElementsAre("echo", "1"));
  EXPECT_THAT(config.args(), ElementsAre("10.96.0.7", "$(NOPE)"));
  const std::map<std::string, std::string> wanted = {{"A", "1"},
                                                     {"B", "1-v"},
                                                     {"C_k", "v"},
                                                     {"K", "w"},
                                                     {"P", "pass"},
                                                     {"O", "(none)"},
                                                     {"NODE", "n1"},
                                                     {"SA", "robot"},
                                                     {"IP", "10.244.0.5"},
                                                     {"HOST", "192.168.0.1"},
                                                     {"APP", "web"},
                                                     {"CPU", "2"},
                                                     {"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                                                     {"KUBERNETES_SERVICE_PORT_HTTPS", "443"},
                                                     {"KUBERNETES_PORT", "tcp://10.96.0.1:443"},
                                                     {"MY_DB_PORT_53_UDP_ADDR", "10.96.0.7"},
                                                     {"HEADLESS_SERVICE_HOST", "(none)"},
                                                     {"FAR_SERVICE_HOST", "(none)"}};
  for (const auto& [name, value] : wanted) EXPECT_EQ(Env(config, name), value) << name;
}

TEST_F(ConfigsTest, WhatAVariableLacksIsSaid) {
  Make(R"({"name":"app","image":"busybox"})");
  EXPECT_EQ(error_, "services have not yet been read at least once, cannot construct envvars");
  Sync();
  Make(
      R"({"name":"app","env":[{"name":"K","valueFrom":{"secretKeyRef":{"name":"x","key":"k"}}}]})");
  EXPECT_EQ(error_, R"(secret "x" not found)");
  Make(R"({"name":"app","envFrom":[{"configMapRef":{"name":"y"}}]})");
  EXPECT_EQ(error_, R"(configmap "y" not found)");
  objects_["/api/v1/namespaces/shop/configmaps/y"] = R"({"metadata":{"name":"y"}})";
  Make(R"({"name":"app","env":[{"name":"K","valueFrom":{"configMapKeyRef":{"name":"y",
           "key":"k"}}}]})");
  EXPECT_EQ(error_, "couldn't find key k in ConfigMap shop/y");
}

TEST_F(ConfigsTest, VolumesHostsAndLastWordsAreMounted) {
  Sync();
  const PodMounts mounts = {{"data", {.host_path = "/v/data"}},
                            {"conf", {.host_path = "/v/conf", .read_only = true}}};
  const auto config = Make(R"j({"name":"app","terminationMessagePath":"/dev/termination-log",
    "env":[{"name":"WHO","value":"me"}],"volumeMounts":[
      {"name":"data","mountPath":"/data","subPathExpr":"of-$(WHO)",
       "mountPropagation":"HostToContainer"},
      {"name":"conf","mountPath":"conf"}]})j",
                           4, mounts);
  ASSERT_EQ(error_, "");
  ASSERT_EQ(config.mounts_size(), 4);
  EXPECT_EQ(config.mounts(0).host_path(), "/v/data/of-me");
  EXPECT_EQ(config.mounts(0).propagation(), cri::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(config.mounts(1).container_path(), "/conf");
  EXPECT_TRUE(config.mounts(1).readonly());
  EXPECT_EQ(config.mounts(2).container_path(), "/etc/hosts");
  EXPECT_TRUE(fs::exists(config.mounts(2).host_path()));
  EXPECT_EQ(config.mounts(3).container_path(), "/dev/termination-log");

  // What the container writes there is its last word.
  std::ofstream(config.mounts(3).host_path()) << "out of luck";
  const auto pod = PodOf(R"({"containers":[{"name":"app","terminationMessagePath":"/x"}]})");
  ContainerState state{.name = "app", .attempt = 4, .exit_code = 1};
  EXPECT_EQ(configs_->TerminationMessage(pod, pod.spec().containers(0), state), "out of luck");
  state.attempt = 3;
  EXPECT_EQ(configs_->TerminationMessage(pod, pod.spec().containers(0), state), "");

  configs_->Remove("u1");
  EXPECT_FALSE(fs::exists(root_ / "kubelet/pods/u1"));
  EXPECT_FALSE(fs::exists(root_ / "logs/shop_web_u1"));
}

TEST_F(ConfigsTest, MountsThatCannotBeAreSaid) {
  Sync();
  const PodMounts mounts = {{"data", {.host_path = "/v/data"}}};
  const auto with = [&](const std::string& mount) {
    Make(R"({"name":"app","volumeMounts":[)" + mount + "]}", 0, mounts);
    return error_;
  };
  EXPECT_EQ(with(R"({"name":"no","mountPath":"/x"})"),
            R"(cannot find volume "no" to mount into container "app")");
  EXPECT_EQ(with(R"({"name":"data","mountPath":"/x","subPath":"evil"})"),
            R"(failed to prepare subPath for volumeMount "data" of container "app")");
  EXPECT_EQ(with(R"j({"name":"data","mountPath":"/x","subPathExpr":"$(NO)"})j"),
            "missing value for NO");
  EXPECT_EQ(with(R"({"name":"data","mountPath":"/x","subPath":"../y"})"),
            "unable to provision SubPath `../y`: must not contain '..'");
}

TEST_F(ConfigsTest, AContainerCarriesWhatFindsItAgain) {
  Sync();
  const auto config = Make(R"({"name":"app","image":"busybox"})", 7);
  EXPECT_EQ(config.log_path(), "app/7.log");
  EXPECT_TRUE(fs::is_directory(root_ / "logs/shop_web_u1/app"));
  const std::string sandbox = *runtime_->RunPodSandbox({}, "");
  const std::string id = *runtime_->CreateContainer(sandbox, config, {});
  PodState pod;
  ContainerState state;
  ASSERT_TRUE(FromContainer((*runtime_->ListContainers("u1"))[0], &pod, &state));
  EXPECT_EQ(pod.uid, "u1");
  EXPECT_EQ(state.name, "app");
  EXPECT_EQ(state.attempt, 7u);
  kube::core::v1::Container same;
  same.set_name("app");
  same.set_image("busybox");
  EXPECT_EQ(state.spec_hash, SpecHash(same));
}

TEST_F(ConfigsTest, ImagesThatRunAsRootAreRefused) {
  Sync();
  Make(R"({"name":"app","image":"busybox","securityContext":{"runAsNonRoot":true}})");
  EXPECT_THAT(error_, HasSubstr("container has runAsNonRoot and image will run as root"));
  machine_.SetImage("busybox", {.present = true, .uid = 1000});
  const auto config =
      Make(R"({"name":"app","image":"busybox","securityContext":{"runAsNonRoot":true}})");
  EXPECT_EQ(error_, "");
  EXPECT_EQ(config.linux().security_context().run_as_user().value(), 1000);
}

TEST_F(ConfigsTest, PullSecretsThatAreThereAreUsed) {
  // {"auths":{"docker.io":{"username":"anna","password":"x"}}}
  objects_["/api/v1/namespaces/shop/secrets/reg"] =
      R"({"metadata":{"name":"reg"},"type":"kubernetes.io/dockerconfigjson","data":{
         ".dockerconfigjson":
           "eyJhdXRocyI6eyJkb2NrZXIuaW8iOnsidXNlcm5hbWUiOiJhbm5hIiwicGFzc3dvcmQiOiJ4In19fQ=="}})";
  const auto auths = configs_->PullAuths(
      PodOf(R"({"imagePullSecrets":[{"name":"missing"},{"name":"reg"}]})"), "nginx");
  ASSERT_EQ(auths.size(), 1u);
  EXPECT_EQ(auths[0].username, "anna");
}

}  // namespace
}  // namespace meltemi::kubelet
