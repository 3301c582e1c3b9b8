#include "gtest/gtest.h"
#include "orchestrator/apiserver/verbs/stored_form.h"
#include "orchestrator/apiserver/verbs/testing/widgets.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

class ObjectsTest : public testing::Test {
 protected:
  kube::Result<Written> Create(absl::string_view text, absl::string_view ns = "default") {
    context = world.Context();
    return world.objects->Create(*world.widgets, ns, Json(text), context);
  }
  // Replaces the object, as PUT does.
  kube::Result<Written> Put(const Resource& resource, absl::string_view name, Value object) {
    context = world.Context();
    return world.objects->Update(
        resource, "default", name,
        [&](const Value&, bool) -> kube::Result<Value> { return object; }, false, context);
  }
  kube::Result<Written> SetSize(absl::string_view name, int64_t size) {
    context = world.Context();
    return world.objects->Update(
        *world.widgets, "default", name,
        [&](const Value& current, bool) -> kube::Result<Value> {
          Value next = current;
          next.MutableObject("spec").Set("size", Value::Int(size));
          return next;
        },
        false, context);
  }
  kube::Result<Value> Delete(const Resource& resource, absl::string_view name,
                             const DeleteRequest& request = {}) {
    context = world.Context();
    return world.objects->Delete(resource, "default", name, request, context, &deleted_now);
  }

  WidgetWorld world;
  WriteContext context = world.Context();
  bool deleted_now = false;
};

TEST_F(ObjectsTest, CreatesWithDefaultsAndMetadata) {
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a"},"spec":{"color":"red"}})");
  ASSERT_TRUE(made.ok()) << made.status().message;
  EXPECT_TRUE(made->created);
  const Value& object = made->object;
  EXPECT_EQ(object.members()[0].key, "kind");
  EXPECT_EQ(object.FindString("apiVersion"), "example.com/v1");
  EXPECT_EQ(kube::IntAt(object, "spec.size", 0), 1);
  EXPECT_EQ(kube::Namespace(object), "default");
  EXPECT_EQ(kube::Uid(object).size(), 36u);
  EXPECT_EQ(kube::Generation(object), 1);
  EXPECT_EQ(kube::ResourceVersion(object), "2");
  EXPECT_EQ(kube::Metadata(object).FindString("creationTimestamp"), "2024-01-01T00:00:00Z");
  EXPECT_EQ(kube::Metadata(object).Find("managedFields")->items()[0].FindString("manager"),
            "tester");
  const auto stored = world.store.all();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored.begin()->first, "/registry/example.com/widgets/default/a");
  EXPECT_EQ(stored.begin()->second.value.rfind("{\"metadata\":{", 0), 0u);
  EXPECT_EQ(stored.begin()->second.value.find("resourceVersion"), std::string::npos);
}

TEST_F(ObjectsTest, TheSameNameTwiceIsAConflict) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  kube::Result<Written> again = Create(R"({"metadata":{"name":"a"}})");
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code, 409);
  EXPECT_EQ(again.status().message, "widgets.example.com \"a\" already exists");
}

TEST_F(ObjectsTest, GeneratedNamesAreTriedAgain) {
  kube::Result<Written> first = Create(R"({"metadata":{"generateName":"w-"}})");
  ASSERT_TRUE(first.ok());
  const std::string name(kube::Name(first->object));
  EXPECT_EQ(name.size(), 7u);
  // The same random numbers give the same name; the second attempt gets another.
  world.random = FastRandom(7);
  kube::Result<Written> second = Create(R"({"metadata":{"generateName":"w-"}})");
  ASSERT_TRUE(second.ok()) << second.status().message;
  EXPECT_NE(kube::Name(second->object), name);
}

TEST_F(ObjectsTest, AForeignNamespaceIsRefused) {
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a","namespace":"other"}})");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().message,
            "the namespace of the provided object does not match the namespace sent on the "
            "request");
}

TEST_F(ObjectsTest, UnknownFieldsWarnOrAreRefused) {
  constexpr absl::string_view kText = R"({"metadata":{"name":"a"},"spec":{"colour":"red"}})";
  ASSERT_TRUE(Create(kText).ok());
  EXPECT_EQ(context.warnings, std::vector<std::string>{"unknown field \"spec.colour\""});
  context = world.Context();
  context.field_validation = "Strict";
  kube::Result<Written> strict =
      world.objects->Create(*world.widgets, "default",
                            Json(R"({"metadata":{"name":"b"},"x":1,"spec":{"y":1}})"), context);
  ASSERT_FALSE(strict.ok());
  EXPECT_EQ(strict.status().code, 400);
  EXPECT_EQ(strict.status().message,
            "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: "
            "unknown field \"x\", unknown field \"spec.y\"");
}

TEST_F(ObjectsTest, ValidationAnswersInvalid) {
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a"},"spec":{"size":-1}})");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code, 422);
  EXPECT_EQ(made.status().message,
            "Widget.example.com \"a\" is invalid: spec.size: Invalid value: -1: must be greater "
            "than or equal to 0");
}

TEST_F(ObjectsTest, ADryRunWritesNothing) {
  context.dry_run = true;
  kube::Result<Written> made = world.objects->Create(*world.widgets, "default",
                                                     Json(R"({"metadata":{"name":"a"}})"), context);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(kube::ResourceVersion(made->object), "");
  EXPECT_TRUE(world.store.all().empty());
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  context.dry_run = true;
  EXPECT_FALSE(
      world.objects
          ->Create(*world.widgets, "default", Json(R"({"metadata":{"name":"a"}})"), context)
          .ok());
}

TEST_F(ObjectsTest, AdmissionChangesAndRefuses) {
  world.admission.mutate = [](AdmissionRequest& request) -> kube::Outcome {
    request.object.MutableObject("spec").Set("color", Value::String("blue"));
    return kube::Done{};
  };
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a"},"spec":{"color":"red"}})");
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(kube::TextAt(made->object, "spec.color"), "blue");
  world.admission.validate = [](AdmissionRequest& request) -> kube::Outcome {
    EXPECT_EQ(request.name, "b");
    EXPECT_EQ(kube::TextAt(request.object, "spec.color"), "blue");
    return kube::Forbidden({"example.com", "widgets"}, "b", "not today");
  };
  EXPECT_EQ(Create(R"({"metadata":{"name":"b"}})").status().code, 403);
  EXPECT_EQ(world.store.all().size(), 1u);
}

TEST_F(ObjectsTest, AnUpdateCountsGenerationsAndANoOpWritesNothing) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  kube::Result<Written> updated = SetSize("a", 3);
  ASSERT_TRUE(updated.ok()) << updated.status().message;
  EXPECT_FALSE(updated->created);
  EXPECT_EQ(kube::Generation(updated->object), 2);
  EXPECT_EQ(kube::ResourceVersion(updated->object), "3");
  kube::Result<Written> same = SetSize("a", 3);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(kube::ResourceVersion(same->object), "3");
  EXPECT_EQ(*world.store.CurrentRevision(), 3);
}

TEST_F(ObjectsTest, AStaleResourceVersionIsAConflict) {
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a"}})");
  Value stale = made->object;
  ASSERT_TRUE(SetSize("a", 3).ok());
  stale.MutableObject("spec").Set("size", Value::Int(9));
  kube::Result<Written> put = Put(*world.widgets, "a", stale);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().message,
            "Operation cannot be fulfilled on widgets.example.com \"a\": the object has been "
            "modified; please apply your changes to the latest version and try again");
  kube::MutableMetadata(stale).Remove("resourceVersion");
  EXPECT_TRUE(Put(*world.widgets, "a", stale).ok());
}

TEST_F(ObjectsTest, AnotherUidIsAConflict) {
  Value made = Create(R"({"metadata":{"name":"a"}})")->object;
  kube::MutableMetadata(made).Set("uid", Value::String("other"));
  kube::Result<Written> put = Put(*world.widgets, "a", made);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().code, 409);
  EXPECT_NE(put.status().message.find("Precondition failed: UID in precondition: other, UID in "),
            std::string::npos);
}

TEST_F(ObjectsTest, SomeKindsWantAResourceVersion) {
  ASSERT_TRUE(
      world.objects->Create(*world.gadgets, "", Json(R"({"metadata":{"name":"g"}})"), context)
          .ok());
  kube::Result<Written> put =
      Put(*world.gadgets, "g", Json(R"({"metadata":{"name":"g"},"spec":{"size":4}})"));
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().message,
            "gadgets.example.com \"g\" is invalid: metadata.resourceVersion: Invalid value: 0x0: "
            "must be specified for an update");
}

TEST_F(ObjectsTest, AWriteThatComesBetweenIsMadeUpFor) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"},"spec":{"color":"red"}})").ok());
  world.store.before_transact = [&] {
    WriteContext other = world.Context();
    ASSERT_TRUE(world.objects
                    ->Update(
                        *world.widgets, "default", "a",
                        [](const Value& current, bool) -> kube::Result<Value> {
                          Value next = current;
                          next.MutableObject("spec").Set("color", Value::String("green"));
                          return next;
                        },
                        false, other)
                    .ok());
  };
  kube::Result<Written> updated = SetSize("a", 5);
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(kube::TextAt(updated->object, "spec.color"), "green");
  EXPECT_EQ(kube::IntAt(updated->object, "spec.size", 0), 5);
}

TEST_F(ObjectsTest, ALaggingCacheMisleadsNobody) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  world.cache.Freeze(world.widgets->storage, "default", "a");
  kube::Result<Written> first = SetSize("a", 3);
  ASSERT_TRUE(first.ok());
  // The cache still shows size 1 under revision 2.
  EXPECT_TRUE(Put(*world.widgets, "a", first->object).ok());
  EXPECT_EQ(kube::IntAt(SetSize("a", 1)->object, "spec.size", 0), 1);
  ASSERT_TRUE(Create(R"({"metadata":{"name":"new"}})").ok());
  EXPECT_TRUE(SetSize("new", 2).ok());
  EXPECT_TRUE(Delete(*world.widgets, "new").ok());
}

TEST_F(ObjectsTest, StatusAndSpecHaveTheirOwnDoors) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"},"spec":{},"status":{"size":9}})").ok());
  context.subresource = "status";
  const UpdateFunction both = [](const Value& current, bool) -> kube::Result<Value> {
    EXPECT_EQ(current.Find("status"), nullptr);
    Value next = current;
    next.MutableObject("spec").Set("size", Value::Int(7));
    next.MutableObject("status").Set("size", Value::Int(7));
    return next;
  };
  kube::Result<Written> status =
      world.objects->Update(*world.widgets, "default", "a", both, false, context);
  ASSERT_TRUE(status.ok()) << status.status().message;
  EXPECT_EQ(kube::IntAt(status->object, "spec.size", 0), 1);
  EXPECT_EQ(kube::IntAt(status->object, "status.size", 0), 7);
  EXPECT_EQ(kube::Generation(status->object), 1);
}

TEST_F(ObjectsTest, AMissingObjectIsNotFoundOrCreated) {
  EXPECT_EQ(SetSize("none", 3).status().code, 404);
  kube::Result<Written> made = world.objects->Update(
      *world.widgets, "default", "none",
      [](const Value& current, bool exists) -> kube::Result<Value> {
        EXPECT_FALSE(exists);
        EXPECT_TRUE(current.is_null());
        return Json(R"({"metadata":{"name":"none"}})");
      },
      true, context);
  ASSERT_TRUE(made.ok()) << made.status().message;
  EXPECT_TRUE(made->created);
}

TEST_F(ObjectsTest, TheNameMustBeThatOfThePath) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  EXPECT_EQ(Put(*world.widgets, "a", Json(R"({"metadata":{"name":"b"}})")).status().message,
            "the name of the object (b) does not match the name on the URL (a)");
}

TEST_F(ObjectsTest, VersionsAreViewsOfOneObject) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"},"spec":{"size":4}})").ok());
  kube::Result<Value> old = world.objects->Get(*world.old_widgets, "default", "a");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->FindString("apiVersion"), "example.com/v1alpha1");
  EXPECT_EQ(kube::IntAt(*old, "spec.extent", 0), 4);
  Value changed = *old;
  changed.MutableObject("spec").Set("extent", Value::Int(6));
  ASSERT_TRUE(Put(*world.old_widgets, "a", changed).ok());
  EXPECT_EQ(kube::IntAt(*world.objects->Get(*world.widgets, "default", "a"), "spec.size", 0), 6);
}

TEST_F(ObjectsTest, DeletesAtOnceWithoutFinalizers) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  kube::Result<Value> gone = Delete(*world.widgets, "a");
  ASSERT_TRUE(gone.ok());
  EXPECT_TRUE(deleted_now);
  EXPECT_EQ(kube::Name(*gone), "a");
  EXPECT_TRUE(world.store.all().empty());
  EXPECT_EQ(Delete(*world.widgets, "a").status().message, "widgets.example.com \"a\" not found");
}

TEST_F(ObjectsTest, FinalizersKeepItUntilTheLastOneIsGone) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a","finalizers":["x/y"]}})").ok());
  kube::Result<Value> marked = Delete(*world.widgets, "a");
  ASSERT_TRUE(marked.ok()) << marked.status().message;
  EXPECT_FALSE(deleted_now);
  EXPECT_TRUE(kube::BeingDeleted(*marked));
  EXPECT_EQ(kube::Generation(*marked), 2);
  EXPECT_EQ(kube::IntAt(*marked, "metadata.deletionGracePeriodSeconds", -1), 0);
  const store::Revision before = *world.store.CurrentRevision();
  ASSERT_TRUE(Delete(*world.widgets, "a").ok());
  EXPECT_EQ(*world.store.CurrentRevision(), before) << "a second deletion changes nothing";
  kube::Result<Written> made = Create(R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(made.status().message,
            "object is being deleted: widgets.example.com \"a\" already exists");
  Value last = *world.objects->Get(*world.widgets, "default", "a");
  kube::MutableMetadata(last).Remove("finalizers");
  ASSERT_TRUE(Put(*world.widgets, "a", last).ok());
  EXPECT_TRUE(world.store.all().empty());
}

TEST_F(ObjectsTest, PropagationBecomesFinalizers) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  DeleteRequest request;
  request.propagation = "Foreground";
  kube::Result<Value> marked = Delete(*world.widgets, "a", request);
  ASSERT_TRUE(marked.ok());
  EXPECT_EQ(kube::Finalizers(*marked), std::vector<std::string>{"foregroundDeletion"});
  ASSERT_TRUE(Create(R"({"metadata":{"name":"b"}})").ok());
  request.propagation = "Orphan";
  EXPECT_EQ(kube::Finalizers(*Delete(*world.widgets, "b", request)),
            std::vector<std::string>{"orphan"});
}

TEST_F(ObjectsTest, PreconditionsMustHold) {
  ASSERT_TRUE(Create(R"({"metadata":{"name":"a"}})").ok());
  DeleteRequest request;
  request.preconditions.uid = "other";
  const kube::Status status = Delete(*world.widgets, "a", request).status();
  EXPECT_EQ(status.code, 409);
  EXPECT_NE(status.message.find("the UID in the precondition (other) does not match the UID in "
                                "record ("),
            std::string::npos);
  request.preconditions = {.uid = "", .resource_version = "99"};
  EXPECT_EQ(Delete(*world.widgets, "a", request).status().code, 409);
  request.preconditions.resource_version = "2";
  EXPECT_TRUE(Delete(*world.widgets, "a", request).ok());
}

TEST_F(ObjectsTest, AGracePeriodMakesItTwoSteps) {
  ASSERT_TRUE(
      world.objects->Create(*world.gadgets, "", Json(R"({"metadata":{"name":"g"}})"), context)
          .ok());
  kube::Result<Value> first = Delete(*world.gadgets, "g");
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(deleted_now);
  EXPECT_EQ(kube::TextAt(*first, "metadata.deletionTimestamp"), "2024-01-01T00:00:30Z");
  EXPECT_EQ(kube::IntAt(*first, "metadata.deletionGracePeriodSeconds", 0), 30);
  DeleteRequest request;
  request.grace_period_seconds = 60;  // longer: as it was
  EXPECT_EQ(kube::TextAt(*Delete(*world.gadgets, "g", request), "metadata.deletionTimestamp"),
            "2024-01-01T00:00:30Z");
  request.grace_period_seconds = 10;
  EXPECT_EQ(kube::TextAt(*Delete(*world.gadgets, "g", request), "metadata.deletionTimestamp"),
            "2024-01-01T00:00:10Z");
  request.grace_period_seconds = 0;
  ASSERT_TRUE(Delete(*world.gadgets, "g", request).ok());
  EXPECT_TRUE(deleted_now);
}

TEST_F(ObjectsTest, NamespacesWaitForTheirOwnFinalizers) {
  ASSERT_TRUE(
      world.objects
          ->Create(*world.namespaces, "",
                   Json(R"({"metadata":{"name":"n"},"spec":{"finalizers":["kubernetes"]}})"),
                   context)
          .ok());
  kube::Result<Value> marked = Delete(*world.namespaces, "n");
  ASSERT_TRUE(marked.ok());
  EXPECT_FALSE(deleted_now);
  EXPECT_EQ(kube::TextAt(*marked, "status.phase"), "Terminating");
  ASSERT_TRUE(Delete(*world.namespaces, "n").ok());
  EXPECT_FALSE(deleted_now);
  context = world.Context();
  context.subresource = "finalize";
  ASSERT_TRUE(world.objects
                  ->Update(
                      *world.namespaces, "", "n",
                      [](const Value& current, bool) -> kube::Result<Value> {
                        Value next = current;
                        next.MutableObject("spec").Remove("finalizers");
                        return next;
                      },
                      false, context)
                  .ok());
  EXPECT_TRUE(world.store.all().empty());
}

TEST_F(ObjectsTest, AnObjectCannotGrowWithoutBound) {
  const std::string big(kStoredBytesMax, 'x');
  kube::Result<Written> made =
      Create("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"color\":\"" + big + "\"}}");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code, 413);
}

}  // namespace
}  // namespace meltemi::apiserver
