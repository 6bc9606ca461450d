// HTML that is escaped by construction.
#include "worker/operator/html.hpp"

namespace billing::worker::operators {

Html::Scope::~Scope() { html_.out_.append("</").append(tag_.text()).append(">"); }

void Html::escape(std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out_ += "&amp;";
        break;
      case '<':
        out_ += "&lt;";
        break;
      case '>':
        out_ += "&gt;";
        break;
      case '"':
        out_ += "&quot;";
        break;
      case '\'':
        out_ += "&#39;";
        break;
      default:
        // Control characters are no text in HTML; what they were in is still recognised.
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
          out_ += "\xef\xbf\xbd";
        else
          out_ += c;
    }
  }
}

void Html::begin(Literal tag, Attributes attributes) {
  out_.append("<").append(tag.text());
  for (const Attribute& attribute : attributes) {
    if (!attribute.present) continue;
    out_.append(" ").append(attribute.name.text());
    if (attribute.bare) continue;
    out_ += "=\"";
    escape(attribute.value);
    out_ += '"';
  }
  out_ += '>';
}

Html::Scope Html::open(Literal tag, Attributes attributes) {
  begin(tag, attributes);
  return Scope(*this, tag);
}

void Html::put(Literal tag, Attributes attributes, std::string_view text) {
  const auto element = open(tag, attributes);
  escape(text);
}

void Html::single(Literal tag, Attributes attributes) { begin(tag, attributes); }

void Html::text(std::string_view text) { escape(text); }

}  // namespace billing::worker::operators
