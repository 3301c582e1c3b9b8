#include "pilot/ingest/file/file_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "networking/v1/destination_rule.pb.h"

namespace meltemi::pilot {
namespace {

using ::istio::networking::v1alpha3::DestinationRule;
using ::testing::HasSubstr;

std::string Rule(absl::string_view name, absl::string_view host) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: ", name,
      "}\nspec: {host: ", host, "}\n");
}

// "+a(host) -b"
std::string Shown(const Changes& changes) {
  std::vector<std::string> words;
  for (const ObjectPtr& object : changes.updated) {
    words.push_back(
        absl::StrCat("+", object->meta.name, "(", object->Spec<DestinationRule>().host(), ")"));
  }
  for (const ObjectKey& key : changes.deleted) words.push_back(absl::StrCat("-", key.name));
  return absl::StrJoin(words, " ");
}

// Refuses hosts with an underscore.
std::vector<Diagnostic> Validate(const Object& object) {
  if (!absl::StrContains(object.Spec<DestinationRule>().host(), '_')) return {};
  return {{.severity = Severity::kError, .message = "a host with an underscore"}};
}

class FileStoreTest : public ::testing::Test {
 protected:
  std::string Diagnostics() const {
    std::vector<std::string> lines;
    for (const Diagnostic& d : store_.Diagnostics()) lines.push_back(d.ToString());
    return absl::StrJoin(lines, "\n");
  }

  FileStore store_{{}, Validate};
};

TEST_F(FileStoreTest, TellsWhatATextChanges) {
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "x") + Rule("b", "y"))), "+a(x) +b(y)");
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "x") + Rule("b", "y"))), "");
  EXPECT_EQ(Shown(store_.Update("f", "# moved down\n\n" + Rule("b", "y") + Rule("a", "z"))),
            "+a(z)");
  EXPECT_EQ(Shown(store_.Update("f", Rule("b", "y"))), "-a");
  EXPECT_EQ(Shown(store_.Remove("f")), "-b");
  EXPECT_EQ(Shown(store_.Remove("f")), "");
  EXPECT_EQ(Diagnostics(), "");
}

TEST_F(FileStoreTest, AHalfWrittenTextTakesNothingAway) {
  const std::string text = Rule("a", "x") + Rule("b", "y");
  store_.Update("f", text);
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string shown = Shown(store_.Update("f", text.substr(0, size)));
    // A cut that leaves whole objects behind looks like a deletion, and nothing else does.
    if (shown.empty()) continue;
    EXPECT_TRUE(shown == "-b" || absl::StartsWith(shown, "+")) << size << ": " << shown;
    store_.Update("f", text);
  }
  store_.Update("f", "apiVersion: [");
  EXPECT_EQ(store_.Objects().size(), 2u);
  EXPECT_THAT(Diagnostics(), HasSubstr("Error [IST0106] (f:"));
  EXPECT_THAT(Diagnostics(), HasSubstr("(the last good version stays in effect)"));
  EXPECT_EQ(Shown(store_.Update("f", text)), "");
  EXPECT_EQ(Diagnostics(), "");
}

TEST_F(FileStoreTest, AnEmptyFileTakesNothingAway) {
  store_.Update("f", Rule("a", "x"));
  EXPECT_EQ(Shown(store_.Update("f", " \n")), "");
  EXPECT_THAT(Diagnostics(), HasSubstr("Warning [MELT0003] (f) the file is empty"));
  EXPECT_EQ(store_.Objects().size(), 1u);
}

TEST_F(FileStoreTest, AnObjectInErrorKeepsItsLastGoodVersionAndStopsNoOther) {
  store_.Update("f", Rule("a", "x") + Rule("b", "y"));
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "not_good") + Rule("b", "z"))), "+b(z)");
  EXPECT_THAT(Diagnostics(), HasSubstr("a host with an underscore (the last good version stays"));
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "[1]") + Rule("b", "y"))), "+b(y)");
  EXPECT_THAT(Diagnostics(), HasSubstr("spec.host: expected a string"));
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "w") + Rule("b", "y"))), "+a(w)");
}

TEST_F(FileStoreTest, ANewObjectInErrorIsNotTaken) {
  EXPECT_EQ(Shown(store_.Update("f", Rule("a", "not_good"))), "");
  EXPECT_EQ(store_.Objects().size(), 0u);
  EXPECT_THAT(Diagnostics(), Not(HasSubstr("last good")));
}

TEST_F(FileStoreTest, OfSeveralFilesTheLastByNameCounts) {
  EXPECT_EQ(Shown(store_.Update("2", Rule("a", "second"))), "+a(second)");
  EXPECT_EQ(Shown(store_.Update("1", Rule("a", "first"))), "");
  EXPECT_THAT(Diagnostics(), HasSubstr("(DestinationRule default/a 1:2) not in effect: 2:2 holds"));
  EXPECT_EQ(Shown(store_.Update("3", Rule("a", "third"))), "+a(third)");
  EXPECT_EQ(Shown(store_.Remove("3")), "+a(second)");
  EXPECT_EQ(Shown(store_.Remove("2")), "+a(first)");
  EXPECT_EQ(Diagnostics(), "");
}

TEST_F(FileStoreTest, AnUnreadableFileKeepsWhatItHad) {
  store_.Update("f", Rule("a", "x"));
  store_.SetUnreadable("f", "Permission denied");
  EXPECT_EQ(store_.Objects().size(), 1u);
  EXPECT_THAT(Diagnostics(), HasSubstr("(f) cannot be read: Permission denied"));
}

}  // namespace
}  // namespace meltemi::pilot
