#include "worker/stripe/transfer.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

namespace billing::stripe {

namespace asio = boost::asio;

namespace {

// More than the largest page that Stripe sends.
constexpr std::size_t kMostBytes = 32 * 1024 * 1024;

void initialise() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw std::runtime_error("libcurl cannot be used");
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* response) {
  const std::string_view line(data, size * count);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  static_cast<HttpResponse*>(response)->headers[name] = value;
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* response) {
  std::string& body = static_cast<HttpResponse*>(response)->body;
  if (body.size() + size * count > kMostBytes) return 0;
  body.append(data, size * count);
  return size * count;
}

}  // namespace

// One request on its way.
struct Transfers::Transfer {
  struct Clean {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  Transfer(asio::io_context& io, HttpRequest asked)
      : request(std::move(asked)), done(io), easy(curl_easy_init()) {
    if (!easy) throw std::runtime_error("libcurl has no handle left");
    for (const std::string& header : request.headers) {
      curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      static_cast<void>(headers.release());
      headers.reset(longer);
    }
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_HTTPHEADER, headers.get());
    if (!request.body.empty()) {
      set(CURLOPT_POSTFIELDS, request.body.c_str());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    }
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.limit.count()));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_ACCEPT_ENCODING, "");
    if (!request.certificates.empty()) set(CURLOPT_CAINFO, request.certificates.c_str());
    set(CURLOPT_ERRORBUFFER, reason);
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, &response);
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, &response);
    set(CURLOPT_PRIVATE, this);
    done.expires_at(asio::steady_timer::time_point::max());
  }

  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy.get(), option, value) != CURLE_OK)
      throw std::runtime_error("libcurl is too old: option " + std::to_string(option));
  }

  void finish(CURLcode code) {
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    long sent = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_REQUEST_SIZE, &sent);
    response.sent = sent > 0;
    if (code == CURLE_OK) {
      response.status = static_cast<int>(status);
    } else {
      response.body.clear();
      response.error = *reason != '\0' ? reason : curl_easy_strerror(code);
    }
    finished = true;
    done.cancel();
  }

  HttpRequest request;
  HttpResponse response;
  asio::steady_timer done;
  bool finished = false;
  char reason[CURL_ERROR_SIZE] = "";
  std::unique_ptr<curl_slist, Clean> headers;
  std::unique_ptr<CURL, Clean> easy;
};

// A socket of libcurl's, which stays libcurl's to close.
struct Transfers::Watch {
  Watch(asio::io_context& io, curl_socket_t socket) : descriptor(io, socket) {}
  ~Watch() { descriptor.release(); }

  asio::posix::stream_descriptor descriptor;
  bool wants[2] = {false, false};  // to write, to read
  bool waits[2] = {false, false};
  bool removed = false;
};

Transfers::Loop::Loop(asio::io_context& context)
    : io(context), timer(context), multi((initialise(), curl_multi_init())) {
  if (multi == nullptr) throw std::runtime_error("libcurl has no handle left");
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
}

Transfers::Loop::~Loop() {
  for (auto& [socket, watch] : watches) watch->removed = true;
  watches.clear();
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, nullptr);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, nullptr);
  curl_multi_cleanup(multi);
}

Transfers::Transfers(asio::io_context& io) : loop_(std::make_shared<Loop>(io)) {}

asio::awaitable<HttpResponse> Transfers::perform(HttpRequest request) {
  return perform(loop_, std::move(request));
}

asio::awaitable<HttpResponse> Transfers::perform(std::shared_ptr<Loop> loop, HttpRequest request) {
  Transfer transfer(loop->io, std::move(request));
  // Also when the coroutine is destroyed in its middle, as at the worker's end.
  struct Added {
    CURLM* multi;
    CURL* easy;
    ~Added() { curl_multi_remove_handle(multi, easy); }
  };
  if (curl_multi_add_handle(loop->multi, transfer.easy.get()) != CURLM_OK)
    throw std::runtime_error("libcurl takes no more requests");
  const Added added{loop->multi, transfer.easy.get()};
  while (!transfer.finished) co_await transfer.done.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return std::move(transfer.response);
}

int Transfers::Loop::on_socket(CURL*, curl_socket_t socket, int what, void* data, void*) {
  auto& self = *static_cast<Loop*>(data);
  auto found = self.watches.find(socket);
  if (what == CURL_POLL_REMOVE) {
    if (found == self.watches.end()) return 0;
    found->second->removed = true;
    found->second->descriptor.release();  // now: libcurl closes it, and its number is another's at once
    self.watches.erase(found);
    return 0;
  }
  if (found == self.watches.end())
    found = self.watches.emplace(socket, std::make_shared<Watch>(self.io, socket)).first;
  const auto watch = found->second;
  watch->wants[0] = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
  watch->wants[1] = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
  self.watch(watch, false);
  self.watch(watch, true);
  return 0;
}

void Transfers::Loop::watch(const std::shared_ptr<Watch>& watch, bool reading) {
  if (!watch->wants[reading] || watch->waits[reading]) return;
  watch->waits[reading] = true;
  const auto kind =
      reading ? asio::posix::stream_descriptor::wait_read : asio::posix::stream_descriptor::wait_write;
  watch->descriptor.async_wait(kind, [this, watch, reading](const boost::system::error_code& error) {
    if (watch->removed) return;
    watch->waits[reading] = false;
    if (watch->wants[reading])
      act(watch->descriptor.native_handle(), error     ? CURL_CSELECT_ERR
                                             : reading ? CURL_CSELECT_IN
                                                       : CURL_CSELECT_OUT);
    if (!watch->removed && !error) this->watch(watch, reading);
  });
}

int Transfers::Loop::on_timer(CURLM*, long milliseconds, void* data) {
  auto& self = *static_cast<Loop*>(data);
  if (milliseconds < 0) {
    self.timer.cancel();
    return 0;
  }
  self.timer.expires_after(std::chrono::milliseconds(milliseconds));
  self.timer.async_wait([&self](const boost::system::error_code& error) {
    if (!error) self.act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void Transfers::Loop::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi, socket, events, &running);
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    transfer->finish(message->data.result);
  }
}

}  // namespace billing::stripe
