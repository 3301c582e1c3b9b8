#include "orchestrator/apiserver/crd/crd_catalog.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/crd/definition.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

const kube::GroupResource kDefinitions = {"apiextensions.k8s.io", "customresourcedefinitions"};
const kube::GroupResource kWidgets = {"example.com", "widgets"};

// Store, cache and Objects in one: what is written is told to the observers at once.
class World final : public WatchCache, public Objects {
 public:
  // ---- WatchCache
  void Start() override {}
  void AddResource(const kube::GroupResource& storage, FieldsOf) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    added[storage] = true;
  }
  void RemoveResource(const kube::GroupResource& storage) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    added.erase(storage);
    changed_.notify_all();
  }
  kube::Result<ObjectPtr> Get(const kube::GroupResource&, absl::string_view, absl::string_view,
                              bool) override {
    return ObjectPtr();
  }
  kube::Result<ListResult> List(const kube::GroupResource& storage, const ListQuery&) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ListResult list;
    for (const auto& [name, tree] : objects_[storage]) list.objects.push_back(Cached(name, tree));
    return list;
  }
  size_t Count(const kube::GroupResource&) override { return 0; }
  bool WaitFor(store::Revision, Duration) override { return true; }
  kube::Outcome WaitFresh() override { return kube::Done{}; }
  store::Revision revision() const override { return 1; }
  void Observe(const kube::GroupResource& storage,
               std::function<void(const CacheEvent&)> observer) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    observers_[storage] = observer;
    for (const auto& [name, tree] : objects_[storage]) Tell(storage, name, tree, false);
  }
  bool ready() const override { return true; }

  // ---- Objects
  kube::Result<Value> Get(const Resource&, absl::string_view, absl::string_view name) override {
    return kube::NotFound({}, name);
  }
  kube::Result<Written> Create(const Resource& resource, absl::string_view, Value object,
                               WriteContext&) override {
    resource.strategy->Default(resource, object);
    resource.strategy->PrepareForCreate(resource, object);
    const std::string name(kube::Name(object));
    const std::lock_guard<std::mutex> lock(mutex_);
    Put(resource.storage, name, object);
    return Written{object, true};
  }
  kube::Result<Written> Update(const Resource& resource, absl::string_view, absl::string_view name,
                               const UpdateFunction& update, bool, WriteContext& context) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fail_writes > 0) {
      --fail_writes;
      return kube::InternalError("the disk is full");
    }
    auto& objects = objects_[resource.storage];
    const auto found = objects.find(std::string(name));
    if (found == objects.end()) return kube::NotFound(resource.group_resource(), name);
    kube::Result<Value> next = update(found->second, true);
    if (!next.ok()) return next.status();
    EXPECT_EQ(context.user.name, "system:apiserver");
    if (kube::BeingDeleted(*next) && kube::Finalizers(*next).empty()) {
      Erase(resource.storage, std::string(name));
    } else if (json::ToString(*next) != json::ToString(found->second)) {
      Put(resource.storage, std::string(name), *next);
    }
    return Written{*next, false};
  }
  kube::Result<Value> Delete(const Resource& resource, absl::string_view, absl::string_view name,
                             const DeleteRequest&, WriteContext&, bool*) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& objects = objects_[resource.storage];
    const auto found = objects.find(std::string(name));
    if (found == objects.end()) return kube::NotFound(resource.group_resource(), name);
    Value tree = found->second;
    if (kube::Finalizers(tree).empty()) {
      Erase(resource.storage, std::string(name));
    } else {
      tree.MutableObject("metadata")
          .Set("deletionTimestamp", Value::String("2026-01-01T00:00:00Z"));
      Put(resource.storage, std::string(name), tree);
    }
    return tree;
  }

  // ---- for tests
  bool Eventually(const std::function<bool()>& holds) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (int i = 0; i < 1000; ++i) {
      lock.unlock();
      const bool now = holds();
      lock.lock();
      if (now) return true;
      changed_.wait_for(lock, milliseconds(10));
    }
    return false;
  }
  Value Tree(const kube::GroupResource& storage, const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_[storage].find(name);
    return found == objects_[storage].end() ? Value() : found->second;
  }
  void PutTree(const kube::GroupResource& storage, const std::string& name, const Value& tree) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Put(storage, name, tree);
  }
  bool IsAdded(const kube::GroupResource& storage) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return added.count(storage) > 0;
  }

  std::map<kube::GroupResource, bool> added;
  int fail_writes = 0;

 private:
  static ObjectPtr Cached(const std::string& name, const Value& tree) {
    auto object = std::make_shared<CachedObject>();
    object->name = name;
    object->json = json::ToString(tree);
    return object;
  }
  void Put(const kube::GroupResource& storage, const std::string& name, const Value& tree) {
    objects_[storage][name] = tree;
    Tell(storage, name, tree, false);
    changed_.notify_all();
  }
  void Erase(const kube::GroupResource& storage, const std::string& name) {
    const Value tree = objects_[storage][name];
    objects_[storage].erase(name);
    Tell(storage, name, tree, true);
    changed_.notify_all();
  }
  void Tell(const kube::GroupResource& storage, const std::string& name, const Value& tree,
            bool deleted) {
    const auto found = observers_.find(storage);
    if (found == observers_.end()) return;
    CacheEvent event;
    event.type = deleted ? CacheEvent::Type::kDeleted : CacheEvent::Type::kModified;
    event.object = Cached(name, tree);
    found->second(event);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<kube::GroupResource, std::map<std::string, Value>> objects_;
  std::map<kube::GroupResource, std::function<void(const CacheEvent&)>> observers_;
};

class CrdCatalogTest : public testing::Test {
 protected:
  CrdCatalogTest() : definitions_(NewDefinitionResource(schema_)) { Begin(); }

  void Begin() {
    catalog_ = NewCrdCatalog({definitions_}, world_, clock_);
    catalog_->Start(world_);
  }
  void Create(const std::string& plural, const std::string& kind) {
    Value object =
        *json::Parse(R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
      "metadata":{"uid":"u1"},"spec":{"group":"example.com","scope":"Namespaced","names":{},
  "versions":[{"name":"v1",
      "served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}})");
    object.MutableObject("metadata").Set("name", Value::String(plural + ".example.com"));
    Value& names = object.MutableObject("spec").MutableObject("names");
    names.Set("plural", Value::String(plural));
    names.Set("kind", Value::String(kind));
    WriteContext context;
    ASSERT_TRUE(world_.Create(*definitions_, "", object, context).ok());
  }
  void Delete(const std::string& name) {
    WriteContext context;
    bool now = false;
    ASSERT_TRUE(world_.Delete(*definitions_, "", name, {}, context, &now).ok());
  }
  const Resource* Find(const std::string& plural, const std::string& version = "v1") {
    kept_ = catalog_->current();
    return kept_->Find("example.com", version, plural);
  }
  bool Established(const std::string& name) {
    return HasCondition(world_.Tree(kDefinitions, name), "Established");
  }

  Schema schema_;
  std::shared_ptr<const Resource> definitions_;
  FakeClock clock_;
  World world_;
  std::unique_ptr<CrdCatalog> catalog_;
  std::shared_ptr<const Catalog> kept_;
};

TEST_F(CrdCatalogTest, ADefinitionIsServedAndEstablished) {
  EXPECT_EQ(catalog_->current()->generation(), 1u);
  EXPECT_EQ(Find("widgets"), nullptr);
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  // Served before it says so.
  ASSERT_NE(Find("widgets"), nullptr);
  EXPECT_EQ(Find("widgets")->kind, "Widget");
  EXPECT_TRUE(world_.IsAdded(kWidgets));
  EXPECT_GT(catalog_->current()->generation(), 1u);
  const Value definition = world_.Tree(kDefinitions, "widgets.example.com");
  EXPECT_EQ(Text(Get(definition, "status", "acceptedNames"), "listKind"), "WidgetList");
  EXPECT_EQ(Text(Items(Get(definition, "status"), "conditions")[0], "lastTransitionTime"),
            "2024-01-01T00:00:00Z");
}

TEST_F(CrdCatalogTest, TheDefinitionsOwnResourceGetsItsStrategy) {
  auto plain = std::make_shared<Resource>(*definitions_);
  plain->strategy = nullptr;
  const auto catalog = NewCrdCatalog({plain}, world_, clock_)->current();
  const Resource* resource = catalog->FindPreferred(kDefinitions);
  ASSERT_NE(resource->strategy, nullptr);
  EXPECT_FALSE(resource->strategy->Validate(*resource, Value::Object()).empty());
  EXPECT_EQ(resource->columns->columns()[1].name, "Created At");
}

TEST_F(CrdCatalogTest, AfterARestartEverythingIsServedAtOnce) {
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  catalog_.reset();
  Begin();
  EXPECT_NE(Find("widgets"), nullptr);
}

TEST_F(CrdCatalogTest, AChangeOfTheStatusAloneMakesNoNewCatalog) {
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  const Resource* before = Find("widgets");
  Value definition = world_.Tree(kDefinitions, "widgets.example.com");
  definition.MutableObject("metadata").MutableObject("labels").Set("a", Value::String("b"));
  world_.PutTree(kDefinitions, "widgets.example.com", definition);
  Create("gadgets", "Gadget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("gadgets.example.com"); }));
  EXPECT_EQ(Find("widgets"), before);
}

TEST_F(CrdCatalogTest, NewVersionsAreServed) {
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  Value definition = world_.Tree(kDefinitions, "widgets.example.com");
  std::vector<Value>& versions = definition.MutableObject("spec").Find("versions")->items();
  versions.push_back(versions[0]);
  versions[1].Set("name", Value::String("v2"));
  versions[1].Set("storage", Value::Bool(false));
  world_.PutTree(kDefinitions, "widgets.example.com", definition);
  EXPECT_TRUE(world_.Eventually([&] { return Find("widgets", "v2") != nullptr; }));
  EXPECT_EQ(Find("widgets", "v2")->storage_version, "example.com/v1");
}

TEST_F(CrdCatalogTest, TwoOfOneKindAreNotBothServed) {
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  Create("others", "Widget");
  ASSERT_TRUE(world_.Eventually([&] {
    return !Items(Get(world_.Tree(kDefinitions, "others.example.com"), "status"), "conditions")
                .empty();
  }));
  EXPECT_FALSE(Established("others.example.com"));
  EXPECT_EQ(Find("others"), nullptr);
  Delete("widgets.example.com");
  EXPECT_TRUE(world_.Eventually([&] { return Established("others.example.com"); }));
  EXPECT_NE(Find("others"), nullptr);
}

TEST_F(CrdCatalogTest, InstancesGoBeforeTheDefinition) {
  Create("widgets", "Widget");
  ASSERT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
  world_.PutTree(kWidgets, "free", *json::Parse(R"({"metadata":{"name":"free"}})"));
  world_.PutTree(kWidgets, "held",
                 *json::Parse(R"({"metadata":{"name":"held","finalizers":["x/y"]}})"));
  Delete("widgets.example.com");
  ASSERT_TRUE(world_.Eventually([&] { return kube::BeingDeleted(world_.Tree(kWidgets, "held")); }));
  EXPECT_TRUE(world_.Tree(kWidgets, "free").is_null());
  EXPECT_TRUE(HasCondition(world_.Tree(kDefinitions, "widgets.example.com"), "Terminating"));
  ASSERT_NE(Find("widgets"), nullptr);
  EXPECT_NE(Find("widgets")->verbs[0], "create");
  // Its finalizer's owner lets go.
  WriteContext context;
  context.user.name = "system:apiserver";
  ASSERT_TRUE(world_
                  .Update(
                      *Find("widgets"), "", "held",
                      [](const Value& current, bool) -> kube::Result<Value> {
                        Value next = current;
                        next.MutableObject("metadata").Remove("finalizers");
                        return next;
                      },
                      false, context)
                  .ok());
  EXPECT_TRUE(world_.Eventually(
      [&] { return world_.Tree(kDefinitions, "widgets.example.com").is_null(); }));
  EXPECT_TRUE(world_.Eventually([&] { return !world_.IsAdded(kWidgets); }));
  EXPECT_EQ(Find("widgets"), nullptr);
}

TEST_F(CrdCatalogTest, FailedWritesAreTriedAgain) {
  world_.fail_writes = 1;
  Create("widgets", "Widget");
  EXPECT_TRUE(world_.Eventually([&] { return Established("widgets.example.com"); }));
}

}  // namespace
}  // namespace meltemi::apiserver
