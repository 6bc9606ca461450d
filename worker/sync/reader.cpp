#include "worker/sync/reader.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "worker/stripe/form.hpp"
#include "worker/stripe/object_fetch.hpp"
#include "worker/stripe/resource.hpp"
#include "worker/text.hpp"

namespace billing::sync {

namespace asio = boost::asio;
using worker::integer;
using worker::pause;
using worker::plain_text;
using worker::Reply;
using worker::these;

namespace {

constexpr const char* kSummary = "entitlements.active_entitlement_summary";
constexpr const char* kMissing = "resource_missing";
constexpr std::size_t kMostAtOnce = 200;  // objects of one call

std::optional<Seconds> number_at(const Reply& reply, std::size_t column) {
  const auto& text = reply.rows.at(0).at(column);
  if (!text) return std::nullopt;
  Seconds number = 0;
  std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

worker::Parameter maybe(const std::optional<Seconds>& value) {
  return plain_text(value ? std::to_string(*value) : "");
}

}  // namespace

Reader::Reader(Import& import)
    : import_(import), store_(import.io, import.config.connection, import.config.schema) {}

asio::awaitable<Reply> Reader::ask(const char* call, std::vector<worker::Parameter> parameters) {
  return worker::call_again(store_, import_.io, call, std::move(parameters));
}

asio::awaitable<void> Reader::run() {
  for (bool claimed = co_await claim(); claimed || import_.reading > 0; claimed = co_await claim()) {
    if (!claimed) {
      // What others read may be split, or be what the last lists wait for.
      co_await pause(import_.io, std::chrono::milliseconds(100));
      continue;
    }
    ++import_.reading;
    auto reading = slice_.per_customer ? read_customers() : read_list();
    co_await std::move(reading);
    --import_.reading;
  }
}

asio::awaitable<bool> Reader::claim() {
  const Reply reply = co_await ask("claim_stripe_sync_slice($1::pg_catalog.int4, $2)",
                                   these(integer(import_.run_id), plain_text(import_.owner)));
  if (reply.rows.empty()) co_return false;
  const auto text = [&](std::size_t column) { return reply.rows[0].at(column).value_or(""); };
  slice_ = {};
  slice_.id = static_cast<int>(number_at(reply, 0).value_or(0));
  slice_.type = text(1);
  slice_.per_customer = text(2) == "t";
  slice_.parameters = Json::parse(text(3));
  slice_.from = number_at(reply, 4);
  slice_.until = number_at(reply, 5);
  slice_.last_object = text(6);
  slice_.last_created = number_at(reply, 7);
  slice_.share = std::strtod(text(9).c_str(), nullptr);
  co_return true;
}

asio::awaitable<void> Reader::keep(Page page) {
  const std::string objects = page.objects.dump();
  const std::size_t count = page.objects.size();
  co_await ask(
      "keep_stripe_sync_page($1::pg_catalog.int4, $2::pg_catalog.int4, $3, $4,"
      " $5::pg_catalog.int8, nullif($6, ''), nullif($7, '')::pg_catalog.int8, $8::pg_catalog.bool, $9)",
      these(integer(import_.run_id), integer(slice_.id), plain_text(import_.owner), plain_text(objects),
            integer(page.read_after), plain_text(page.last_object), maybe(page.last_created),
            plain_text(page.done ? "t" : "f"), plain_text(stripe::kApiVersion)));
  slice_.last_object = page.last_object.empty() ? slice_.last_object : page.last_object;
  if (page.last_created) slice_.last_created = page.last_created;
  import_.progress.add(slice_.type, count);
  if (page.done) import_.progress.finish_share(slice_.share);
}

asio::awaitable<void> Reader::leave(const stripe::Answer& answer) {
  const std::string error = stripe::error_text(answer);
  if (answer.status == 401) throw worker::CommandError("Stripe does not take the key: " + error);
  import_.progress.note(slice_.type + " cannot be read: " + error);
  co_await ask(
      "leave_stripe_sync_slice($1::pg_catalog.int4, $2::pg_catalog.int4, $3, $4)",
      these(integer(import_.run_id), integer(slice_.id), plain_text(import_.owner), plain_text(error)));
}

asio::awaitable<void> Reader::read_list() {
  stripe::Call call;
  call.path = "/v1/" + std::string(stripe::find_resource(slice_.type)->path);
  call.parameters = slice_.parameters;
  call.parameters["limit"] = 100;
  if (slice_.from) call.parameters["created"]["gte"] = *slice_.from;
  if (slice_.until) call.parameters["created"]["lt"] = *slice_.until;
  if (!slice_.last_object.empty()) call.parameters["starting_after"] = slice_.last_object;
  bool may_split = is_by_time() && !slice_.from && !slice_.until;
  for (;;) {
    stripe::Answer answer = co_await import_.client.call(call);
    // The object that the last page ended with is gone: its second is read again.
    if (!answer.ok() && answer.error->code == kMissing && answer.error->param == "starting_after") {
      call.parameters.erase("starting_after");
      if (is_by_time() && slice_.last_created) call.parameters["created"]["lt"] = *slice_.last_created + 1;
      continue;
    }
    if (answer.ok() && !at(answer.body, "data").is_array())
      answer.error = stripe::ApiError{"unreadable_answer", "", "", "", "the answer is no list"};
    if (answer.ok() && !answer.read_after)
      answer.error =
          stripe::ApiError{"unreadable_answer", "", "", "", "the answer does not say when it was made"};
    Page page;
    if (answer.ok()) {
      page.read_after = *answer.read_after;
      page.done = !flag_of(answer.body, "has_more");
      page.objects = std::move(answer.body["data"]);
      for (Json& object : page.objects) {
        const stripe::Answer whole = co_await stripe::complete_lists(import_.client, "", object);
        if (!whole.ok()) answer = whole;
      }
    }
    if (!answer.ok()) {
      co_await leave(answer);
      co_return;
    }
    if (!page.objects.empty()) {
      page.last_object = text_of(page.objects.back(), "id").value_or("");
      page.last_created = time_of(page.objects.back(), "created");
    }
    const bool done = page.done || page.last_object.empty();
    page.done = done;
    const Seconds now = page.read_after;
    co_await keep(std::move(page));
    if (done) co_return;
    if (may_split) {
      co_await split(now);
      if (slice_.from) call.parameters["created"]["gte"] = *slice_.from;
    }
    may_split = false;
    call.parameters["starting_after"] = slice_.last_object;
  }
}

// Finds out how far back the list goes, and shares what is left among the readers.
asio::awaitable<void> Reader::split(Seconds now) {
  constexpr Seconds kHour = 3600;
  const int parts = import_.parallel * 2;
  if (import_.parallel < 2 || !slice_.last_created) co_return;
  const Seconds newest = *slice_.last_created;
  stripe::Call call;
  call.path = "/v1/" + std::string(stripe::find_resource(slice_.type)->path);
  call.parameters = slice_.parameters;
  call.parameters["limit"] = 1;
  Seconds oldest = newest;
  for (Seconds step = std::max(now - newest, kHour); oldest > 0; step *= 2) {
    oldest = std::max<Seconds>(0, newest - step);
    call.parameters["created"]["lt"] = oldest;
    const stripe::Answer answer = co_await import_.client.call(call);
    if (!answer.ok()) co_return;  // it is read by one, then
    if (list_of(answer.body, "data").empty()) break;
  }
  std::string bounds;
  for (int i = 1; i < parts; ++i)
    bounds += (i > 1 ? "," : "") + std::to_string(oldest + (newest - oldest) * i / parts);
  const Reply reply = co_await ask(
      "split_stripe_sync_slice($1::pg_catalog.int4, $2::pg_catalog.int4, $3, $4::pg_catalog.int8[])",
      these(integer(import_.run_id), integer(slice_.id), plain_text(import_.owner),
            plain_text("{" + bounds + "}")));
  const auto more = number_at(reply, 0).value_or(0);
  if (more == 0) co_return;
  slice_.from = oldest + (newest - oldest) * (parts - 1) / parts;
  slice_.share /= static_cast<double>(more + 1);
}

// Nobody is entitled to anything in an account without features.
asio::awaitable<bool> Reader::has_features() {
  stripe::Call call;
  call.path = "/v1/entitlements/features";
  call.parameters["limit"] = 1;
  const stripe::Answer answer = co_await import_.client.call(call);
  co_return !answer.ok() || !list_of(answer.body, "data").empty();
}

asio::awaitable<stripe::Answer> Reader::read_of_customer(const std::string& customer, Json& objects) {
  if (slice_.type == "payment_method") {
    stripe::Call call;
    call.path = "/v1/customers/" + worker::percent_encode(customer) + "/payment_methods";
    co_return co_await stripe::read_list(import_.client, std::move(call), objects);
  }
  stripe::FetchResult fetched = co_await stripe::fetch_object(import_.client, "", slice_.type, customer);
  stripe::Answer answer;
  answer.read_after = fetched.fetch.began;
  if (fetched.error.empty())
    objects = Json::array({std::move(fetched.fetch.object)});
  else
    answer.error =
        stripe::ApiError{"", fetched.error.starts_with(kMissing) ? kMissing : "", "", "", fetched.error};
  co_return answer;
}

asio::awaitable<void> Reader::read_all_of(const std::vector<std::string>& customers,
                                          std::vector<OfCustomer>& found) {
  found.resize(customers.size());
  std::size_t left = customers.size();
  asio::steady_timer done(import_.io, asio::steady_timer::time_point::max());
  for (std::size_t i = 0; i < customers.size(); ++i)
    asio::co_spawn(import_.io, read_of_customer(customers[i], found[i].objects),
                   [&found, i, &left, &done](const std::exception_ptr& failure, stripe::Answer answer) {
                     found[i].answer = std::move(answer);
                     if (failure)
                       found[i].answer.error = stripe::ApiError{"", "", "", "", "the request broke off"};
                     --left;
                     done.cancel();
                   });
  while (left > 0) co_await done.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<void> Reader::read_customers() {
  constexpr std::size_t kCustomers = 20;
  bool has_any = true;
  if (slice_.type == kSummary) has_any = co_await has_features();
  if (!has_any) {
    Page nothing;
    nothing.done = true;
    co_await keep(std::move(nothing));
    co_return;
  }
  for (bool done = false; !done;) {
    const Reply reply = co_await ask(
        "stripe_sync_customers($1::pg_catalog.int4, $2::pg_catalog.int4, $3, $4::pg_catalog.int4)",
        these(integer(import_.run_id), integer(slice_.id), plain_text(import_.owner), integer(kCustomers)));
    done = reply.rows.size() < kCustomers;
    std::vector<std::string> customers;
    for (const auto& row : reply.rows) customers.push_back(row.at(0).value_or(""));
    std::vector<OfCustomer> found;
    co_await read_all_of(customers, found);
    Page page;
    for (std::size_t i = 0; i < customers.size(); ++i) {
      const stripe::Answer& answer = found[i].answer;
      Json& objects = found[i].objects;
      // Deleted since it was listed.
      if (!answer.ok() && answer.error->code == kMissing) continue;
      if (!answer.ok() || !answer.read_after) {
        co_await leave(answer);
        co_return;
      }
      if (page.objects.size() + objects.size() > kMostAtOnce) co_await keep(std::exchange(page, {}));
      // Rather too early than too late.
      page.read_after =
          page.objects.empty() ? *answer.read_after : std::min(page.read_after, *answer.read_after);
      for (Json& object : objects) page.objects.push_back(std::move(object));
      page.last_object = customers[i];
    }
    page.done = done;
    co_await keep(std::move(page));
  }
}

}  // namespace billing::sync
