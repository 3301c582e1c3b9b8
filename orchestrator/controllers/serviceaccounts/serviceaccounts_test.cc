#include "orchestrator/controllers/serviceaccounts/serviceaccounts.h"

#include <gtest/gtest.h>

#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Namespace;
using kube::core::v1::ServiceAccount;

constexpr char kRootCa[] = "kube-root-ca.crt";

TEST(DefaultAccounts, EveryNamespaceHasOne) {
  World world;
  world.Run(NewServiceAccountController(world.context()));
  for (const char* ns : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    EXPECT_TRUE(world.Find<ServiceAccount>("default", ns).has_value()) << ns;
  }
  world.Create<Namespace>("{metadata: {name: shop}}");
  world.Settle();
  const ServiceAccount account = world.Get<ServiceAccount>("default", "shop");
  world.Delete<ServiceAccount>("default", {}, "shop");
  world.Settle();
  EXPECT_NE(world.Get<ServiceAccount>("default", "shop").metadata().uid(),
            account.metadata().uid());
}

TEST(DefaultAccounts, ANamespaceThatGoesGetsNone) {
  World world;
  world.Create<Namespace>("{metadata: {name: shop}}");
  world.Delete<Namespace>("shop", {}, "");
  world.Run(NewServiceAccountController(world.context()));
  EXPECT_FALSE(world.Find<ServiceAccount>("default", "shop").has_value());
}

TEST(DefaultAccounts, OneThatIsDeletedUnseenWithItsNamespaceIsNoFailure) {
  World world;
  world.Run(NewServiceAccountController(world.context()));
  world.Create<Namespace>("{metadata: {name: shop}}");
  // The informers still show it active when the account is created.
  world.process().SetFate([&world, done = false](const kube::ApiCall& call) mutable {
    if (call.method == "POST" && !std::exchange(done, true)) {
      world.Delete<Namespace>("shop", {}, "");
    }
    return apiserver::Fate::kPass;
  });
  world.Settle();
  const size_t writes = world.Writes();
  world.Advance(minutes(10));
  EXPECT_EQ(world.Writes(), writes);
  EXPECT_FALSE(world.Find<ServiceAccount>("default", "shop").has_value());
}

TEST(RootCa, EveryNamespaceHasIt) {
  World world;
  world.Run(NewRootCaPublisher(world.context(), "PEM"));
  const ConfigMap map = world.Get<ConfigMap>(kRootCa, "kube-system");
  EXPECT_EQ(map.data().at("ca.crt"), "PEM");
  EXPECT_NE(map.metadata().annotations().at("kubernetes.io/description").find("kube-apiserver"),
            std::string::npos);
  world.Create<Namespace>("{metadata: {name: shop}}");
  world.Settle();
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa, "shop").data().at("ca.crt"), "PEM");
  EXPECT_FALSE(world.Find<ConfigMap>("kube-root-ca.crt", "none").has_value());
}

TEST(RootCa, IsPutRightAgain) {
  World world;
  world.Run(NewRootCaPublisher(world.context(), "PEM"));
  world.Patch<ConfigMap>(kRootCa, "{data: {ca.crt: FORGED, more: x}}");
  world.Settle();
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa).data().size(), 1u);
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa).data().at("ca.crt"), "PEM");
  world.Delete<ConfigMap>(kRootCa);
  world.Create<ConfigMap>("{metadata: {name: kube-root-ca.crt}, data: {ca.crt: FORGED}}");
  world.Settle();
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa).data().at("ca.crt"), "PEM");
}

TEST(RootCa, ANewOneReachesAllAfterARestart) {
  World world;
  world.Run(NewRootCaPublisher(world.context(), "OLD"));
  world.Restart([](Context& context) { return NewRootCaPublisher(context, "NEW"); });
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa, "default").data().at("ca.crt"), "NEW");
  EXPECT_EQ(world.Get<ConfigMap>(kRootCa, "kube-system").data().at("ca.crt"), "NEW");
  const size_t writes = world.Writes();
  world.Restart([](Context& context) { return NewRootCaPublisher(context, "NEW"); });
  EXPECT_EQ(world.Writes(), writes);
}

}  // namespace
}  // namespace meltemi::controllers
