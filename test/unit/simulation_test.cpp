// The simulated histories: the same on every run, told truly, and complete.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/causal_chain.hpp"
#include "core/ordering.hpp"
#include "worker/config.hpp"
#include "worker/simulation/delivery.hpp"
#include "worker/simulation/history.hpp"
#include "worker/simulation/options.hpp"
#include "worker/simulation/truth.hpp"
#include "worker/text.hpp"

namespace billing::simulation {
namespace {

Scenario scenario(std::uint64_t seed, std::uint64_t customers, double bursts = 0.3) {
  Scenario made;
  made.seed = seed;
  made.customers = customers;
  made.months = 8;
  made.bursts = bursts;
  made.noise = 0.05;
  made.upgrades = 0.3;
  return made;
}

std::vector<Emitted> all_events(History& history) {
  std::vector<Emitted> events;
  while (std::optional<Emitted> event = history.next()) events.push_back(std::move(*event));
  return events;
}

std::string all_payloads(const Scenario& made, const DeliveryOptions& options) {
  History history(made);
  Delivery delivery([&] { return history.next(); }, options, made.seed);
  std::string text;
  while (const std::optional<Emitted> event = delivery.next()) text += event->payload + "\n";
  return text;
}

Json without_nulls(const Json& value) {
  if (!value.is_object()) return value;
  Json kept = Json::object();
  for (const auto& [key, member] : value.items())
    if (!member.is_null()) kept[key] = without_nulls(member);
  return kept;
}

using Key = std::pair<std::string, std::string>;

// The events of each object of the simulated mode, in the order in which they were made.
std::map<Key, std::vector<Event>> by_object(const std::vector<Emitted>& events, bool livemode = false) {
  std::map<Key, std::vector<Event>> objects;
  for (const Emitted& emitted : events) {
    Event event = parse_event(emitted.payload);
    EXPECT_EQ(event.id, emitted.id);
    EXPECT_EQ(event.type, emitted.type);
    EXPECT_EQ(event.created, emitted.created);
    const bool unheard_of = event.object_type == "unheard_of";
    if (event.livemode != livemode || event.object_id.empty() || unheard_of) continue;
    objects[{event.object_type, event.object_id}].push_back(std::move(event));
  }
  return objects;
}

// As the mirror does: the highest finality and second, and within that what the events say themselves.
LastOfSecond fold(const std::vector<Event>& events) {
  const auto standing = [](const Event& event) {
    const Rank rank = rank_of(event);
    return std::pair(rank.finality, rank.created);
  };
  auto newest = standing(events.front());
  for (const Event& event : events) newest = std::max(newest, standing(event));
  std::vector<const Event*> candidates;
  for (const Event& event : events)
    if (standing(event) == newest) candidates.push_back(&event);
  return last_of_second(candidates);
}

TEST(Simulation, SameSeedGivesTheSameBytes) {
  DeliveryOptions options;
  options.order = Order::shuffled;
  options.duplicates = options.near_duplicates = options.drop = 0.1;
  const std::string once = all_payloads(scenario(7, 20), options);
  EXPECT_EQ(once, all_payloads(scenario(7, 20), options));
  EXPECT_NE(once, all_payloads(scenario(8, 20), options));
}

// The same digest with every compiler and on every machine; another one when the simulation changes.
TEST(Simulation, BytesDoNotDependOnThePlatform) {
  EXPECT_EQ(derived_event_id(all_payloads(scenario(1, 50), {})),
            "unidentified_534358649b89fc0be2db4751ec1ce1a43b9d94870936db72ac5d42914fdd07e8");
}

TEST(Simulation, MoreUsersDoNotChangeThoseWhoWereThere) {
  std::set<std::string> few, many;
  for (auto [count, ids] : {std::pair(5, &few), std::pair(10, &many)}) {
    History history(scenario(3, static_cast<std::uint64_t>(count)));
    for (const Emitted& event : all_events(history)) ids->insert(event.payload);
  }
  for (const std::string& payload : few) EXPECT_TRUE(many.contains(payload));
}

TEST(Simulation, EventsComeInTheOrderOfTheirTimes) {
  History history(scenario(4, 40));
  Seconds last = 0;
  std::set<std::string> ids;
  for (const Emitted& event : all_events(history)) {
    EXPECT_GE(event.created, last);
    last = event.created;
    EXPECT_TRUE(ids.insert(event.id).second) << event.id;
  }
  EXPECT_GE(history.end(), last);
}

TEST(Simulation, PreviousAttributesPutBackGiveThePreviousSnapshot) {
  std::size_t checked = 0;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    History history(scenario(seed, 50));
    for (const auto& [key, events] : by_object(all_events(history))) {
      for (std::size_t i = 1; i < events.size(); ++i) {
        if (events[i].previous_attributes.is_null()) continue;
        if (events[i].api_version != events[i - 1].api_version) continue;
        ++checked;
        ASSERT_EQ(without_nulls(object_before(events[i])), without_nulls(events[i - 1].object))
            << events[i].type << ' ' << key.second << '\n'
            << events[i].previous_attributes;
        EXPECT_FALSE(events[i].previous_attributes.empty());
      }
    }
  }
  EXPECT_GT(checked, 2000U);
}

TEST(Simulation, FoldedEventsGiveTheTrueSnapshotUnlessFlagged) {
  std::size_t objects = 0, flagged = 0, flagged_subscriptions = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    History history(scenario(seed, 50));
    const auto known = by_object(all_events(history));
    for (const auto& [key, events] : known) {
      const LastOfSecond last = fold(events);
      ++objects;
      if (!last.certain) {
        ++flagged;
        if (key.first == "subscription") ++flagged_subscriptions;
        continue;
      }
      EXPECT_EQ(last.event->object, events.back().object) << key.first << ' ' << key.second;
    }
    for (const Account& account : history.accounts()) {
      const Json truth = true_state(account, history.end());
      for (const Json& one : at(truth, "subscriptions")) {
        const auto& events = known.at({"subscription", text_of(one, "stripe_subscription_id").value()});
        EXPECT_EQ(at(one, "object"), events.back().object);
      }
    }
  }
  EXPECT_GT(objects, 3'500U);
  EXPECT_LT(flagged, objects / 50);
  EXPECT_GT(flagged_subscriptions, 0U) << "no burst leads back to where it began";
}

TEST(Simulation, TruthNamesEveryLink) {
  History history(scenario(5, 80));
  std::map<std::string, std::string> links;
  std::set<std::string> customers;
  std::map<Key, std::vector<Event>> known = by_object(all_events(history));
  for (const auto& [key, events] : known)
    if (key.first == "customer") customers.insert(key.second);
  std::set<std::string> reachable;
  for (const Account& account : history.accounts()) {
    for (const Customer& customer : account.customers())
      if (account.is_named(customer)) reachable.insert(customer.id);
    for (const Json& link : missing_links(account)) {
      EXPECT_EQ(text_of(link, "user_id"), account.user_id());
      EXPECT_TRUE(reachable.insert(text_of(link, "stripe_customer_id").value()).second);
    }
  }
  EXPECT_EQ(reachable, customers);
}

std::vector<std::string> words(std::string_view text) { return worker::split(text, ' '); }

TEST(Simulation, EveryPathOccurs) {
  const std::vector<std::string> paths = words(
      "active>canceled active>past_due active>paused incomplete>active incomplete>incomplete_expired "
      "new>active new>incomplete new>trialing past_due>active past_due>canceled past_due>unpaid "
      "paused>active paused>canceled trialing>active trialing>canceled trialing>paused unpaid>active "
      "unpaid>canceled");
  const std::vector<std::string> happenings = words(
      "action_required add_item api_version_changed cancel_at_date cancel_at_period_end cancel_now "
      "change_metadata change_quantity checkout_abandoned customer_changed customer_deleted dispute "
      "dispute_lost dispute_warning dispute_won draft_deleted end_trial ended extend_trial "
      "invoice_sent invoice_uncollectible invoice_voided keep one_off_invoice other_mode "
      "pause_collection pause_on_demand payment_declined prorated_at_once refund_failed refund_full "
      "refund_partial refund_succeeded release_schedule remove_item resume_collection "
      "resume_on_demand schedule_canceled schedule_change schedule_completed schedule_phase "
      "schedule_released subscribe_again swap_plan switch_interval unknown_event");
  const std::vector<std::string> types = words(
      "charge.dispute.closed charge.dispute.funds_reinstated charge.refund.updated charge.refunded "
      "checkout.session.completed customer.deleted customer.subscription.deleted "
      "customer.subscription.paused customer.subscription.resumed "
      "customer.subscription.trial_will_end invoice.created invoice.deleted invoice.finalized "
      "invoice.marked_uncollectible invoice.overdue invoice.paid invoice.payment_action_required "
      "invoice.payment_failed invoice.payment_succeeded invoice.upcoming invoice.voided "
      "invoice_payment.paid payment_intent.canceled payment_intent.requires_action "
      "payment_method.attached price.created product.updated refund.created refund.failed "
      "refund.updated");
  const std::vector<std::string> evidence =
      words("client_reference_id customer_metadata invoice_metadata subscription_metadata");
  Tally all;
  const auto missing = [&] {
    std::vector<std::string> names;
    const auto add = [&](const std::vector<std::string>& expected, const Tally::Counts& counts) {
      for (const std::string& name : expected)
        if (!counts.contains(name)) names.push_back(name);
    };
    add(paths, all.paths);
    add(happenings, all.happenings);
    add(types, all.types);
    add(evidence, all.evidence);
    return names;
  };
  for (std::uint64_t seed = 1; seed <= 20 && !missing().empty(); ++seed) {
    History history(scenario(seed, 150, 0.1));
    while (history.next()) {
    }
    const auto add = [](Tally::Counts& sum, const Tally::Counts& counts) {
      for (const auto& [name, count] : counts) sum[name] += count;
    };
    add(all.paths, history.tally().paths);
    add(all.happenings, history.tally().happenings);
    add(all.types, history.tally().types);
    add(all.evidence, history.tally().evidence);
    add(all.versions, history.tally().versions);
  }
  EXPECT_EQ(missing(), std::vector<std::string>());
  EXPECT_EQ(all.versions.size(), 3U);
}

TEST(Simulation, DeliveryLosesNothing) {
  for (const Order order : {Order::stripe, Order::shuffled, Order::reversed}) {
    for (const std::size_t window : {0, 50}) {
      DeliveryOptions options;
      options.order = order;
      options.window = window;
      options.duplicates = options.near_duplicates = options.drop = 0.1;
      const Scenario made = scenario(9, 30);
      History plain(made), history(made);
      std::multiset<std::string> missing;
      for (const Emitted& event : all_events(plain)) missing.insert(event.payload);
      const std::size_t count = missing.size();
      Delivery delivery([&] { return history.next(); }, options, made.seed);
      std::uint64_t other = 0;
      while (const std::optional<Emitted> event = delivery.next()) {
        const auto found = missing.find(event->payload);
        if (found == missing.end())
          ++other;
        else
          missing.erase(found);
      }
      EXPECT_TRUE(missing.empty());
      const Delivery::Counts& counts = delivery.counts();
      EXPECT_EQ(counts.made, count + counts.near_duplicates);
      EXPECT_EQ(other, counts.duplicates + counts.near_duplicates);
      EXPECT_EQ(counts.delivered, count + other);
      EXPECT_GT(counts.dropped, 0U);
      EXPECT_GT(counts.held_back, 0U);
    }
  }
}

// What arrives does not depend on the order in which it does.
TEST(Simulation, EveryOrderDeliversTheSame) {
  std::optional<std::multiset<std::string>> expected;
  for (const Order order : {Order::stripe, Order::shuffled, Order::reversed}) {
    DeliveryOptions options;
    options.order = order;
    options.duplicates = options.near_duplicates = options.drop = 0.1;
    const Scenario made = scenario(2, 15);
    History history(made);
    Delivery delivery([&] { return history.next(); }, options, made.seed);
    std::multiset<std::string> arrived;
    while (const std::optional<Emitted> event = delivery.next()) arrived.insert(event->payload);
    if (!expected) expected = arrived;
    EXPECT_TRUE(arrived == *expected) << static_cast<int>(order);
  }
}

TEST(Simulation, LostEventsStayAway) {
  DeliveryOptions options;
  options.drop = 0.2;
  options.lose = true;
  const Scenario made = scenario(9, 30);
  History history(made);
  Delivery delivery([&] { return history.next(); }, options, made.seed);
  while (delivery.next()) {
  }
  EXPECT_GT(delivery.counts().dropped, 0U);
  EXPECT_EQ(delivery.counts().delivered, delivery.counts().made - delivery.counts().dropped);
}

TEST(Simulation, ToldAgainDiffersInItsIdAlone) {
  Random random(1);
  const Emitted event = make_event(random, "x.updated", {{"id", "x_1"}}, {{"a", 1}}, 1000, {});
  const Emitted again = told_again(random, event);
  EXPECT_NE(again.id, event.id);
  Json expected = Json::parse(event.payload);
  expected["id"] = again.id;
  EXPECT_EQ(Json::parse(again.payload), expected);
}

TEST(Simulation, MonthsFollowTheCalendar) {
  const auto time = [](const char* text) { return *parse_iso_time(text); };
  const Seconds end_of_january = time("2026-01-31T10:00:00Z");
  EXPECT_EQ(add_months(end_of_january, 1), time("2026-02-28T10:00:00Z"));
  EXPECT_EQ(next_end(end_of_january, 1, add_months(end_of_january, 1)), time("2026-03-31T10:00:00Z"));
  EXPECT_EQ(add_months(end_of_january, -2), time("2025-11-30T10:00:00Z"));
}

TEST(SimulationOptions, AreRead) {
  const Options options = parse_options({"--seed=5", "--customers", "7", "--start", "2026-03-01", "--months",
                                         "2", "--order", "reversed", "--livemode", "--rate", "250/s",
                                         "--post", "http://[::1]:99/x", "--out", "d"});
  EXPECT_EQ(options.scenario.seed, 5U);
  EXPECT_EQ(options.scenario.customers, 7U);
  EXPECT_EQ(iso_time(options.scenario.start), "2026-03-01T00:00:00+00:00");
  EXPECT_EQ(iso_time(options.scenario.end), "2026-05-01T00:00:00+00:00");
  EXPECT_TRUE(options.scenario.livemode);
  EXPECT_EQ(options.delivery.order, Order::reversed);
  EXPECT_EQ(options.post.rate, 250);
  EXPECT_EQ(parse_options({"-"}).out, "-");
  EXPECT_TRUE(parse_options({"--help"}).help);
}

TEST(SimulationOptions, AreRefusedWithAHint) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"--sed", "1"},
                                             {"--seed"},
                                             {"--seed", "x"},
                                             {"--seed", "-1"},
                                             {"--bursts", "1.5"},
                                             {"--lose=1"},
                                             {"--order", "random"},
                                             {"--start", "yesterday"},
                                             {"-", "--post", "http://localhost/"}}) {
    try {
      parse_options(arguments);
      ADD_FAILURE() << (arguments.empty() ? "" : arguments.front());
    } catch (const worker::ConfigError& error) {
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST(SimulationOptions, UrlsAreTakenApart) {
  const PostTarget target = parse_url("http://127.0.0.1:8480/stripe/webhook");
  EXPECT_EQ(target.host, "127.0.0.1");
  EXPECT_EQ(target.port, "8480");
  EXPECT_EQ(target.path, "/stripe/webhook");
  EXPECT_EQ(parse_url("http://[::1]:1/").host, "::1");
  EXPECT_EQ(parse_url("http://localhost").port, "80");
  for (const char* url :
       {"", "https://localhost/", "http://", "http://:80/", "http://a:b/", "http://[::1/", "a:1/x"})
    EXPECT_THROW(parse_url(url), worker::ConfigError) << url;
}

}  // namespace
}  // namespace billing::simulation
