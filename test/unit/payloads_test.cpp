// Payloads recorded from Stripe, when they are at hand: PG_BILLING_PAYLOADS, or beside the repository.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/activity.hpp"
#include "core/customer_link.hpp"
#include "core/fields.hpp"
#include "core/ordering.hpp"
#include "core/payer.hpp"
#include "core/redaction.hpp"
#include "core/subscription_state.hpp"

#ifndef PG_BILLING_SOURCE_DIR
#define PG_BILLING_SOURCE_DIR "."
#endif

namespace billing {
namespace {

namespace fs = std::filesystem;

class Payloads : public testing::Test {
 protected:
  void SetUp() override {
    const char* configured = std::getenv("PG_BILLING_PAYLOADS");
    root_ = configured != nullptr ? fs::path(configured)
                                  : fs::path(PG_BILLING_SOURCE_DIR) / ".." / "shared" / "payloads";
    if (!fs::is_directory(root_ / "events")) GTEST_SKIP() << "no recorded payloads at " << root_;
  }

  std::vector<fs::path> files(const char* folder) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / folder)) {
      if (entry.path().extension() == ".json") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  static std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  fs::path root_;
};

TEST_F(Payloads, EveryEventIsRead) {
  std::size_t count = 0;
  for (const char* folder : {"events", "sequences"}) {
    for (const fs::path& path : files(folder)) {
      SCOPED_TRACE(path.filename());
      const std::string payload = read(path);
      const Event event = parse_event(payload);
      EXPECT_TRUE(event.object.is_object());
      EXPECT_NE(event.object_type, "");
      EXPECT_NE(event.object_id, "");
      const EventHeader header = peek_event(payload);
      EXPECT_EQ(header.id, event.id);
      EXPECT_EQ(header.type, event.type);
      EXPECT_EQ(header.object_id, event.object_id);
      const bool is_detached =
          event.object_type == "payment_method" && at(event.object, "customer").is_null();
      EXPECT_EQ(header.customer_id, is_guest(event.customer_id) || is_detached ? "" : event.customer_id);
      rank_of(event);
      activity_of(event);
      link_evidence(event);
      ++count;
    }
  }
  EXPECT_GT(count, 0U);
}

TEST_F(Payloads, RedactedTheyTellTheSameOfWhatWasDone) {
  for (const char* folder : {"events", "sequences"}) {
    for (const fs::path& path : files(folder)) {
      SCOPED_TRACE(path.filename());
      Json payload = parse_json(read(path));
      const Event event = parse_event(to_text(payload));
      redact(payload);
      const std::string text = to_text(payload);
      const Event same = parse_event(text);
      EXPECT_EQ(same.customer_id, event.customer_id);
      EXPECT_EQ(same.object_id, event.object_id);
      const auto rank = [](const Event& one) {
        return to_text({rank_of(one).finality, rank_of(one).lifecycle});
      };
      EXPECT_EQ(rank(same), rank(event));
      EXPECT_EQ(fields::parent_id(same.object_type, same.object),
                fields::parent_id(event.object_type, event.object));
      EXPECT_EQ(payer_of(same.object_type, same.object), payer_of(event.object_type, event.object));
      const auto did = [](const Event& one) {
        const auto activity = activity_of(one);
        return activity ? activity->action + activity->subject + to_text(activity->details) : "";
      };
      EXPECT_EQ(did(same), did(event));
      for (const char* trace :
           {"@example.", "last4\":\"4", "https://pay.stripe.com", "https://invoice.stripe.com", "_secret_"})
        EXPECT_EQ(text.find(trace), std::string::npos) << trace;
    }
  }
}

TEST_F(Payloads, EverySubscriptionHasAPeriodAPriceAndAState) {
  for (const char* folder : {"events", "sequences"}) {
    for (const fs::path& path : files(folder)) {
      const Event event = parse_event(read(path));
      if (event.object_type != "subscription") continue;
      SCOPED_TRACE(path.filename());
      const Subscription one = read_subscription(event.object);
      ASSERT_TRUE(one.period_start);
      ASSERT_TRUE(one.period_end);
      ASSERT_FALSE(one.items.empty());
      EXPECT_NE(one.items[0].price_id, "");
      EXPECT_NE(one.items[0].product_id, "");
      EXPECT_TRUE(one.items[0].unit_amount);
      EXPECT_TRUE(needs_user(event));
      const SubscriptionState state = judge(one, {}, instant(event.created));
      EXPECT_EQ(state.has_access, one.status != "canceled") << state.reason;
    }
  }
}

TEST_F(Payloads, SubscriptionInvoicesNameWhatTheyPaidFor) {
  for (const fs::path& path : files("sequences")) {
    const Event event = parse_event(read(path));
    if (event.type != "invoice.paid") continue;
    SCOPED_TRACE(path.parent_path().filename() / path.filename());
    EXPECT_TRUE(fields::invoice_is_paid(event.object));
    EXPECT_NE(fields::invoice_subscription(event.object), "");
    EXPECT_NE(fields::invoice_payment_intent(event.object), "");
    EXPECT_TRUE(fields::invoice_paid_until(event.object));
    EXPECT_NE(fields::line_price(list_of(event.object, "lines").at(0)), "");
  }
}

}  // namespace
}  // namespace billing
