// Whose the payments are: what events say of the payment intents and charges that they name.
#include "core/payer.hpp"

#include "core/fields.hpp"
#include "functions/mirror_keys.hpp"
#include "pg/row_reader.hpp"

namespace billing::mirror {

namespace {

pg::RowReader payer_of("stripe_objects", "stripe_objects_pkey", "stripe_customer_id");
pg::RowReader parts_of("stripe_objects", "stripe_objects_parent_idx", "stripe_account livemode object");

void tell(Payers& payers, const Key& key, const std::string& payer) {
  std::string& told = payers[key];
  told = surer_payer(told, payer);
}

void tell_named(Payers& payers, const std::string& account, bool livemode, const std::string& type,
                const Json& object, const std::string& payer) {
  for (const auto& [named_type, id] : payments_named_by(type, object))
    tell(payers, {account, livemode, named_type, id}, payer);
}

Payers read(const std::set<Key>& keys) {
  Payers known;
  for (const Key& key : keys) {
    const pg::Rows rows = payer_of.find({pg::parameter(key.account), pg::parameter(key.livemode),
                                         pg::parameter(key.type), pg::parameter(key.id)});
    if (!rows.empty() && !rows.null(0, 0)) known[key] = rows.text(0, 0);
  }
  return known;
}

}  // namespace

Payers payers_told_by(const std::vector<Work*>& works) {
  Payers payers;
  for (const Work* work : works) {
    const Event& event = *work->event;
    if (work->customer.empty() || event.thin) continue;
    if (event.object_type == "charge" || event.object_type == "payment_intent")
      tell(payers, key_of(event), work->customer);
    tell_named(payers, event.account, event.livemode, event.object_type, event.object, work->customer);
  }
  return payers;
}

Payers news_among(const Payers& payers) {
  std::set<Key> keys;
  for (const auto& [key, payer] : payers) keys.insert(key);
  const Payers known = read(keys);
  Payers news;
  for (const auto& [key, payer] : payers) {
    const auto found = known.find(key);
    if (found == known.end() ||
        (is_guest(found->second) && surer_payer(found->second, payer) == payer && found->second != payer))
      news.emplace(key, payer);
  }
  return news;
}

Payers payers_by_invoice_payments(const std::vector<Work*>& works) {
  Payers payers;
  for (const Work* work : works) {
    const Event& event = *work->event;
    if (event.object_type != "invoice" || event.object_id.empty() || work->customer.empty()) continue;
    const pg::Rows rows = parts_of.find({pg::parameter(event.object_id), pg::parameter("invoice_payment")});
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (rows.view(i, 0) == event.account && rows.flag(i, 1) == event.livemode && !rows.null(i, 2))
        tell_named(payers, event.account, event.livemode, "invoice_payment", rows.document(i, 2),
                   work->customer);
  }
  return payers;
}

std::set<Key> payment_of(const Event& event) {
  std::set<Key> keys;
  const auto add = [&](const char* type, const std::string& id) {
    if (!id.empty() && id.size() <= kMaxIdBytes) keys.insert({event.account, event.livemode, type, id});
  };
  add("charge", fields::refund_charge(event.object));
  add("payment_intent", id_of(event.object, "payment_intent"));
  return keys;
}

std::map<const Work*, std::string> owners_named_by(const std::vector<Work*>& works) {
  std::map<const Work*, std::set<Key>> named;
  std::set<Key> wanted;
  for (const Work* work : works)
    for (const char* key : {"charge", "payment_intent", "payment_method"}) {
      const std::string id = id_of(work->event->object, key);
      if (id.empty() || id.size() > kMaxIdBytes) continue;
      const Key named_key{work->event->account, work->event->livemode, key, id};
      named[work].insert(named_key);
      wanted.insert(named_key);
    }
  const Payers known = read(wanted);
  std::map<const Work*, std::string> owners;
  for (const auto& [work, keys] : named)
    for (const Key& key : keys)
      if (const auto found = known.find(key); found != known.end())
        owners[work] = surer_payer(owners[work], found->second);
  return owners;
}

void name_payers(const std::vector<Work*>& works, const Payers& told) {
  std::set<Key> wanted;
  for (const Work* work : works) wanted.merge(payment_of(*work->event));
  Payers payers = read(wanted);
  for (const auto& [key, payer] : told)
    if (wanted.count(key) > 0) tell(payers, key, payer);
  for (Work* work : works)
    for (const Key& key : payment_of(*work->event))
      if (const auto found = payers.find(key); found != payers.end())
        work->customer = surer_payer(work->customer, found->second);
}

}  // namespace billing::mirror
