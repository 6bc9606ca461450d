#include <array>
#include <vector>

#include "core/event.hpp"

namespace billing {
namespace {

// The members that a router needs, collected without building a tree. Of duplicate keys the last one counts,
// as in parse_json: a repeated object forgets what its predecessor said.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return scalar(""); }
  bool boolean(bool /*value*/) override { return scalar(""); }
  bool number_integer(number_integer_t /*value*/) override { return scalar(""); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(""); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return scalar(""); }
  bool string(string_t& value) override { return scalar(value); }
  bool binary(binary_t& /*value*/) override { return scalar(""); }
  bool start_object(std::size_t /*size*/) override { return open(path_.empty() ? Place::root : member_); }
  bool start_array(std::size_t /*size*/) override { return open(Place::elsewhere); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*at*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

  bool key(string_t& name) override {
    member_ = member_of(path_.back(), name);
    if (member_ != Place::elsewhere) forget(member_);
    return true;
  }

  EventHeader header() const {
    const bool thin = text(Place::root_object) == kThinEvent;
    const std::string& type = text(thin ? Place::related_type : Place::object_type);
    const std::string& id = text(thin ? Place::related_id : Place::object_id);
    std::string customer = id;
    if (type != "customer") {
      customer = thin ? "" : text(Place::customer).empty() ? text(Place::customer_id) : text(Place::customer);
    }
    std::string object_id = mirror_key(type, id, customer);
    return {text(Place::id), text(Place::type), std::move(object_id), std::move(customer)};
  }

 private:
  enum class Place {
    elsewhere,
    root,
    id,
    type,
    root_object,
    data,
    object,
    object_id,
    object_type,
    customer,
    customer_id,
    related,
    related_id,
    related_type,
    count
  };

  static Place member_of(Place parent, const std::string& name) {
    switch (parent) {
      case Place::root:
        if (name == "id") return Place::id;
        if (name == "type") return Place::type;
        if (name == "object") return Place::root_object;
        if (name == "data") return Place::data;
        if (name == "related_object") return Place::related;
        break;
      case Place::data:
        if (name == "object") return Place::object;
        break;
      case Place::object:
        if (name == "id") return Place::object_id;
        if (name == "object") return Place::object_type;
        if (name == "customer") return Place::customer;
        break;
      case Place::customer:
        if (name == "id") return Place::customer_id;
        break;
      case Place::related:
        if (name == "id") return Place::related_id;
        if (name == "type") return Place::related_type;
        break;
      default:
        break;
    }
    return Place::elsewhere;
  }

  static bool is_within(Place place, Place ancestor) {
    switch (ancestor) {
      case Place::data:
        return place >= Place::data && place <= Place::customer_id;
      case Place::object:
        return place >= Place::object && place <= Place::customer_id;
      case Place::customer:
        return place == Place::customer || place == Place::customer_id;
      case Place::related:
        return place >= Place::related && place < Place::count;
      default:
        return place == ancestor;
    }
  }

  void forget(Place ancestor) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (is_within(static_cast<Place>(i), ancestor)) texts_[i].clear();
    }
  }
  bool open(Place place) {
    path_.push_back(place);
    member_ = Place::elsewhere;
    return true;
  }
  bool close() {
    path_.pop_back();
    member_ = Place::elsewhere;
    return true;
  }
  bool scalar(const std::string& value) {
    if (member_ != Place::elsewhere) texts_[static_cast<std::size_t>(member_)] = value;
    member_ = Place::elsewhere;
    return true;
  }
  const std::string& text(Place place) const { return texts_[static_cast<std::size_t>(place)]; }

  std::array<std::string, static_cast<std::size_t>(Place::count)> texts_;
  std::vector<Place> path_;
  Place member_ = Place::elsewhere;
};

void shorten(std::string& id) {
  if (id.size() > kMaxIdBytes) id.clear();
}

}  // namespace

EventHeader peek_event(std::string_view payload) {
  try {
    std::string buffer;
    HeaderReader reader;
    if (!Json::sax_parse(storable_json(payload, buffer), &reader)) return {};
    EventHeader header = reader.header();
    for (std::string* id : {&header.id, &header.type, &header.object_id, &header.customer_id}) shorten(*id);
    return header;
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace billing
