// A web server for tests: files from memory, with ranges, and faults on demand.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

namespace cambium::testing {

class HttpServer {
 public:
  struct File {
    std::string bytes;
    std::string headers = {};  // more lines, each with its line end
    int status = 200;
    int64_t cut_after = -1;  // the connection ends after so many bytes of the body ...
    int cuts = 0;            // ... so many times
    bool ranges = true;
    std::string redirect = {};  // where the file is instead
  };
  struct Request {
    std::string method, path, range, authorization;
  };

  HttpServer() {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    CHECK(::bind(socket_, reinterpret_cast<sockaddr*>(&address), length) == 0 && ::listen(socket_, 16) == 0,
          "no test server");
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~HttpServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  std::string url() const { return text("http://127.0.0.1:", port_); }
  void put(const std::string& path, File file) {
    std::lock_guard lock(mutex_);
    files_[path] = std::move(file);
  }
  std::vector<Request> requests() {
    std::lock_guard lock(mutex_);
    return std::exchange(requests_, {});
  }

 private:
  void serve() {
    while (true) {
      const int client = ::accept(socket_, nullptr, nullptr);
      if (client < 0) return;
      std::string head;
      char c;
      while (!head.ends_with("\r\n\r\n") && ::recv(client, &c, 1, 0) == 1) head += c;
      if (head.ends_with("\r\n\r\n")) answer(client, head);
      ::close(client);
    }
  }

  static std::string field(const std::string& head, const std::string& name) {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == head.npos) return {};
    const size_t start = at + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
  }

  void answer(int client, const std::string& head) {
    std::lock_guard lock(mutex_);
    const size_t space = head.find(' ');
    const Request request{head.substr(0, space), head.substr(space + 1, head.find(' ', space + 1) - space - 1),
                          field(head, "Range"), field(head, "Authorization")};
    requests_.push_back(request);
    const auto found = files_.find(request.path);
    if (found == files_.end())
      return send(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nConnection: close\r\n\r\nnothing");
    File& file = found->second;
    std::string status = text(file.status, " ."), extra = file.headers, body = file.bytes;
    if (!file.redirect.empty()) status = "302 Found", extra += "Location: " + file.redirect + "\r\n", body.clear();
    if (!request.range.empty() && file.ranges && file.status == 200 && file.redirect.empty()) {
      const size_t from = size_t(std::stoll(request.range.substr(6)));
      status = "206 Partial";
      extra += text("Content-Range: bytes ", from, "-", body.size() - 1, "/", body.size(), "\r\n");
      body = body.substr(std::min(from, body.size()));
    }
    std::string out =
        text("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n", extra, "\r\n");
    if (request.method == "HEAD") return send(client, out);
    if (file.cut_after >= 0 && file.cuts > 0) body.resize(std::min(body.size(), size_t(file.cut_after))), --file.cuts;
    send(client, out + body);
  }

  static void send(int client, const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::send(client, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;
      done += size_t(n);
    }
  }

  int socket_ = -1, port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::map<std::string, File> files_;
  std::vector<Request> requests_;
};

}  // namespace cambium::testing
