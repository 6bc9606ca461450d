#include "functions/payments.hpp"

#include <algorithm>
#include <optional>

#include "core/payment.hpp"
#include "functions/concern.hpp"
#include "functions/payment_lines.hpp"
#include "functions/payment_reader.hpp"
#include "pg/spi.hpp"

namespace billing::payments {

namespace {

pg::Statement read_beside(
    "WITH k AS (SELECT * FROM unnest($1, $2, $3, $4) k(account, livemode, id, customer))"
    " SELECT l.stripe_customer_id FROM k JOIN @stripe_customer_links l ON l.stripe_customer_id = k.id"
    "  WHERE l.user_id IS NOT NULL AND l.stripe_customer_id <> k.customer"
    " UNION SELECT l.stripe_customer_id FROM k JOIN @stripe_objects o ON o.stripe_account = k.account"
    "   AND o.livemode = k.livemode AND o.object_type = 'payment_intent' AND o.object_id = k.id"
    "  JOIN @stripe_customer_links l ON l.stripe_customer_id = o.stripe_customer_id"
    "  WHERE l.user_id IS NOT NULL AND l.stripe_customer_id <> k.customer");
pg::Statement read_owners(
    "SELECT l.stripe_customer_id, l.user_id FROM @stripe_customer_links l"
    " WHERE l.stripe_customer_id = ANY ($1) AND l.user_id IS NOT NULL");
pg::Statement delete_enrollments_of_others(
    "DELETE FROM @enrollments e USING unnest($1, $2) k(user_id, payment)"
    " WHERE e.user_id = k.user_id AND e.payment_id = k.payment");
pg::Statement delete_of_others(
    "DELETE FROM @payments p USING unnest($1, $2) k(user_id, payment)"
    " WHERE p.user_id = k.user_id AND p.payment_id = k.payment");
pg::Statement upsert_payments(
    "INSERT INTO @payments AS p (user_id, payment_id, stripe_charge_id, stripe_checkout_session_id,"
    "  stripe_invoice_id, stripe_customer_id, status, amount, currency, amount_refunded, refunded_at,"
    "  dispute_status, customer_email, seller_id, description, metadata, payment_created, paid_at, livemode,"
    "  stripe_account)"
    " SELECT r.user_id, r.id, r.charge, r.session, r.invoice, r.customer, r.status, r.amount, r.currency,"
    "  r.refunded, r.refunded_at, r.dispute, r.email, r.seller, r.description, r.metadata::jsonb, r.created,"
    "  r.paid_at, $20, r.account"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
    "  r(user_id, id, charge, session, invoice, customer, status, amount, currency, refunded, refunded_at,"
    "    dispute, email, seller, description, metadata, created, paid_at, account)"
    " ON CONFLICT (user_id, payment_id) DO UPDATE SET stripe_charge_id = excluded.stripe_charge_id,"
    "  stripe_checkout_session_id = excluded.stripe_checkout_session_id,"
    "  stripe_invoice_id = excluded.stripe_invoice_id, stripe_customer_id = excluded.stripe_customer_id,"
    "  status = excluded.status, amount = excluded.amount, currency = excluded.currency,"
    "  amount_refunded = excluded.amount_refunded, refunded_at = excluded.refunded_at,"
    "  dispute_status = excluded.dispute_status, customer_email = excluded.customer_email,"
    "  seller_id = excluded.seller_id, description = excluded.description, metadata = excluded.metadata,"
    "  payment_created = excluded.payment_created, paid_at = excluded.paid_at, livemode = excluded.livemode,"
    "  stripe_account = excluded.stripe_account, updated_at = now()"
    " WHERE (p.stripe_charge_id, p.stripe_checkout_session_id, p.stripe_invoice_id, p.stripe_customer_id,"
    "   p.status, p.amount, p.currency, p.amount_refunded, p.refunded_at, p.dispute_status, p.customer_email,"
    "   p.seller_id, p.description, p.metadata, p.payment_created, p.paid_at, p.livemode, p.stripe_account)"
    "  IS DISTINCT FROM (excluded.stripe_charge_id, excluded.stripe_checkout_session_id,"
    "   excluded.stripe_invoice_id, excluded.stripe_customer_id, excluded.status, excluded.amount,"
    "   excluded.currency, excluded.amount_refunded, excluded.refunded_at, excluded.dispute_status,"
    "   excluded.customer_email, excluded.seller_id, excluded.description, excluded.metadata,"
    "   excluded.payment_created, excluded.paid_at, excluded.livemode, excluded.stripe_account)"
    " RETURNING user_id, payment_id");
// What the payment does not name any more, too.
pg::Statement delete_other_items(
    "DELETE FROM @enrollments e USING unnest($1, $2) k(user_id, payment)"
    " WHERE e.user_id = k.user_id AND e.payment_id = k.payment AND NOT EXISTS ("
    "  SELECT FROM unnest($3, $4, $5) i(user_id, payment, item)"
    "   WHERE i.user_id = e.user_id AND i.payment = e.payment_id AND i.item = e.item_id)");
pg::Statement upsert_enrollments(
    "INSERT INTO @enrollments AS e (user_id, payment_id, item_id, status, payment_status, seller_id,"
    "  enrolled_at, ended_at, livemode)"
    " SELECT r.user_id, r.payment, r.item, r.status, r.payment_status, r.seller, r.enrolled_at, r.ended_at, "
    "$9"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
    "  r(user_id, payment, item, status, payment_status, seller, enrolled_at, ended_at)"
    " ON CONFLICT (user_id, item_id, payment_id) DO UPDATE SET status = excluded.status,"
    "  payment_status = excluded.payment_status, seller_id = excluded.seller_id,"
    "  enrolled_at = excluded.enrolled_at, ended_at = excluded.ended_at, livemode = excluded.livemode,"
    "  updated_at = now()"
    " WHERE (e.status, e.payment_status, e.seller_id, e.enrolled_at, e.ended_at, e.livemode) IS DISTINCT FROM"
    "  (excluded.status, excluded.payment_status, excluded.seller_id, excluded.enrolled_at,"
    "   excluded.ended_at, excluded.livemode)");

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

struct PaymentRows {
  pg::Texts user, id, charge, session, invoice, customer, status, currency, dispute, email, seller,
      description, metadata, account;
  pg::Numbers amount, refunded;
  pg::Times refunded_at, created, paid_at;

  void add(const std::string& user_id, const Id& key, const std::string& payer, const Payment& payment) {
    user.push_back(user_id);
    account.push_back(key.first);
    id.push_back(key.second);
    charge.push_back(unless_empty(payment.charge_id));
    session.push_back(unless_empty(payment.session_id));
    invoice.push_back(unless_empty(payment.invoice_id));
    customer.push_back(payer);
    status.push_back(payment.status);
    amount.push_back(payment.amount);
    currency.push_back(unless_empty(payment.currency));
    refunded.push_back(payment.amount_refunded);
    refunded_at.add(payment.refunded_at);
    dispute.push_back(unless_empty(payment.dispute_status));
    email.push_back(unless_empty(payment.customer_email));
    seller.push_back(unless_empty(payment.seller_id));
    description.push_back(unless_empty(payment.description));
    metadata.push_back(to_text(payment.metadata));
    created.add(payment.created);
    paid_at.add(payment.paid_at);
  }
  // Returns users and payments whose rows were not as they are now.
  std::set<std::pair<std::string, std::string>> write(bool live) const {
    std::set<std::pair<std::string, std::string>> changed;
    const pg::Rows rows = upsert_payments.run(user, id, charge, session, invoice, customer, status, amount,
                                              currency, refunded, refunded_at, dispute, email, seller,
                                              description, metadata, created, paid_at, account, live);
    for (std::size_t i = 0; i < rows.size(); ++i) changed.emplace(rows.text(i, 0), rows.text(i, 1));
    return changed;
  }
};

struct EnrollmentRows {
  pg::Texts user, payment, item, status, payment_status, seller;
  pg::Times enrolled_at, ended_at;

  void add(const std::string& user_id, const Id& key, const Payment& of) {
    for (const std::string& id : of.items) {
      user.push_back(user_id);
      payment.push_back(key.second);
      item.push_back(id);
      status.push_back(enrollment_status(of));
      payment_status.push_back(of.status);
      seller.push_back(unless_empty(of.seller_id));
      enrolled_at.add(of.paid_at);
      ended_at.add(enrollment_ended_at(of));
    }
  }
  void write(bool live) const {
    if (!user.empty())
      upsert_enrollments.run(user, payment, item, status, payment_status, seller, enrolled_at, ended_at,
                             live);
  }
};

// Which objects are brought by these events, or, of customers who were linked just now, all: by an event
// whatever their age, so that it does not matter when it comes; by a person only what is still news.
class Bringers {
 public:
  Bringers(const std::vector<Work*>& works, const std::set<std::string>& customers) : customers_(customers) {
    for (const Work* work : works) {
      const Event& event = *work->event;
      if (work->had_effect) continue;
      linked_at_ = 0;
      const Event*& newest = events_[event.object_id];
      if (newest == nullptr || newest->created < event.created) newest = &event;
    }
    if (works.empty()) linked_at_ = pg::from_timestamptz(GetCurrentStatementStartTimestamp()) / 1'000'000;
  }
  void tell(const std::string& user_id, const std::string& payment_id, const Payment& payment,
            const Known& known, notifications::News& news) const {
    const bool all = std::any_of(known.payers.begin(), known.payers.end(),
                                 [&](const std::string& payer) { return customers_.count(payer) > 0; });
    const auto brought = [&](const std::string& id) -> std::optional<Bringer> {
      const auto event = events_.find(id);
      if (event != events_.end()) return Bringer{event->second->created, true};
      return all && linked_at_ ? std::optional(Bringer{*linked_at_, false}) : std::nullopt;
    };
    news.add(user_id, payment_notices(payment_id, payment, known.sources, brought), events_);
  }

 private:
  const std::set<std::string>& customers_;
  std::map<std::string, const Event*> events_;
  std::optional<Seconds> linked_at_;  // 0: by an event; none: nothing is new here
};

// Returns the payments of others.
std::set<Id> write(const Touched& touched, const std::set<std::string>& users, bool live,
                   const Bringers& bringers, notifications::News& news, Lines& lines) {
  std::set<Id> left;
  if (touched.payments.empty() && touched.customers.empty()) return left;
  const std::map<Id, Known> found = read(touched, live);
  std::set<std::string> payers;
  for (const auto& [id, known] : found) payers.insert(known.payers.begin(), known.payers.end());
  std::map<std::string, std::string> user_of;
  {
    const pg::Rows rows = read_owners.run(pg::texts(payers));
    for (std::size_t i = 0; i < rows.size(); ++i) user_of[rows.text(i, 0)] = rows.text(i, 1);
  }
  PaymentRows rows;
  EnrollmentRows enrollments;
  pg::Texts former, formers_payment;
  for (const auto& [id, known] : found) {
    std::string owner, payer;
    std::set<std::string> others;
    for (const std::string& one : known.payers) {
      const auto user = user_of.find(one);
      if (user == user_of.end()) continue;
      if (owner.empty()) {
        owner = user->second;
        payer = known.payers.front();
      } else if (user->second != owner) {
        others.insert(user->second);
      }
    }
    if (owner.empty()) continue;
    if (users.count(owner) == 0) {
      left.insert(id);
      continue;
    }
    for (const std::string& other : others) {
      former.push_back(other);
      lines.drop(other, id);
      formers_payment.push_back(id.second);
    }
    const Payment payment = read_payment(known.sources);
    rows.add(owner, id, payer, payment);
    bringers.tell(owner, id.second, payment, known, news);
    lines.add(owner, id, known, payment);
    enrollments.add(owner, id, payment);
  }
  if (!former.empty()) {
    delete_enrollments_of_others.run(former, formers_payment);
    delete_of_others.run(former, formers_payment);
  }
  if (rows.id.empty()) return left;
  const auto changed = rows.write(live);
  delete_other_items.run(rows.user, rows.id, enrollments.user, enrollments.payment, enrollments.item);
  enrollments.write(live);
  lines.write(changed, live);
  return left;
}

}  // namespace

Id touched_by(const Event& event) {
  std::string id = event.thin ? "" : payment_id_of(event.object_type, event.object);
  if (id.size() > kMaxIdBytes) id.clear();
  return {event.account, std::move(id)};
}

void Touched::add(const Event& event) {
  const Id id = touched_by(event);
  if (id.second.empty()) return;
  payments.insert(id);
  if (event.type == "checkout.session.async_payment_failed") failed_checkouts.insert(event.object_id);
  // Before basil a charge is found through its invoice, of which the payment intent may not be told.
  if (event.object_type == "charge") charges[id].insert(event.object_id);
  if (event.object_type == "refund" || event.object_type == "dispute") {
    const std::string charge = id_of(event.object, "charge");
    if (!charge.empty() && charge != id.second) charges[id].insert(charge);
  }
}

std::set<std::string> payers_beside(const std::vector<Work*>& works) {
  pg::Texts account, id, customer;
  pg::Flags livemode;
  for (const Work* work : works) {
    const Id payment = touched_by(*work->event);
    if (payment.second.empty()) continue;
    account.push_back(payment.first);
    livemode.push_back(work->event->livemode ? 1 : 0);
    id.push_back(payment.second);
    customer.push_back(work->customer);
  }
  std::set<std::string> beside;
  if (id.empty()) return beside;
  const pg::Rows rows = read_beside.run(account, livemode, id, customer);
  for (std::size_t i = 0; i < rows.size(); ++i) beside.insert(rows.text(i, 0));
  return beside;
}

std::vector<Work*> follow(const std::vector<Work*>& works, const std::set<std::string>& customers,
                          const mirror::Payers& invoiced, const std::set<std::string>& users, bool live,
                          notifications::News& news) {
  Touched touched;
  touched.customers = customers;
  for (const Work* work : works)
    if (concerns_user(*work)) touched.add(*work->event);
  for (const auto& [key, customer] : invoiced)
    if (key.type == "payment_intent") touched.payments.insert({key.account, key.id});
  Lines lines(works);
  const std::set<Id> left = write(touched, users, live, Bringers(works, customers), news, lines);
  std::set<std::string> waiting;  // customers whose invoices wait
  for (const auto& [key, customer] : invoiced)
    if (left.count({key.account, key.id}) > 0) waiting.insert(customer);
  std::vector<Work*> busy;
  for (Work* work : works) {
    const bool is_invoice = work->event->object_type == "invoice";
    if (is_invoice ? waiting.count(work->customer) > 0 : left.count(touched_by(*work->event)) > 0)
      busy.push_back(work);
  }
  return busy;
}

}  // namespace billing::payments
