// The peer of the gRPC door: a server on gRPC C++'s callback API that does the least that the same calls can mean.
//
//     peer
//
// It listens on a free port of 127.0.0.1, prints {"port": N, "version": "1.2.3"}, and ends on SIGTERM. Get and Set use
// one map behind one mutex, whatever the cache; a lifetime is not kept. Publish hands a message to every subscription
// of its topic, and Subscribe streams them, after a heartbeat that tells that it is established. No credential is
// looked at and nothing is counted. Everything about gRPC itself is as it comes.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "cacheclient.grpc.pb.h"
#include "cachepubsub.grpc.pb.h"

namespace {

using cache_client::pubsub::_PublishRequest;
using cache_client::pubsub::_SubscriptionItem;
using cache_client::pubsub::_SubscriptionRequest;

class Items final : public cache_client::Scs::CallbackService {
    grpc::ServerUnaryReactor *Get(grpc::CallbackServerContext *context, const cache_client::_GetRequest *request,
                                  cache_client::_GetResponse *response) override {
        {
            std::lock_guard lock(mutex_);
            auto found = values_.find(request->cache_key());
            if (found == values_.end()) {
                response->set_result(cache_client::Miss);
            } else {
                response->set_result(cache_client::Hit);
                response->set_cache_body(found->second);
            }
        }
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerUnaryReactor *Set(grpc::CallbackServerContext *context, const cache_client::_SetRequest *request,
                                  cache_client::_SetResponse *response) override {
        {
            std::lock_guard lock(mutex_);
            values_.insert_or_assign(request->cache_key(), request->cache_body());
        }
        response->set_result(cache_client::Ok);
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    std::mutex mutex_;
    std::unordered_map<std::string, std::string> values_;
};

// What is written to all subscriptions of a topic is made once and shared.
using SharedItem = std::shared_ptr<const _SubscriptionItem>;

class Subscription;

struct Topic {
    std::uint64_t last_sequence_number = 0;
    std::unordered_set<Subscription *> subscriptions;
};

class Topics final : public cache_client::pubsub::Pubsub::CallbackService {
  public:
    void leave(const std::string &name, Subscription *subscription) {
        std::lock_guard lock(mutex_);
        topics_[name].subscriptions.erase(subscription);
    }

  private:
    grpc::ServerUnaryReactor *Publish(grpc::CallbackServerContext *context, const _PublishRequest *request,
                                      common::_Empty *response) override;
    grpc::ServerWriteReactor<_SubscriptionItem> *Subscribe(grpc::CallbackServerContext *context,
                                                           const _SubscriptionRequest *request) override;

    std::mutex mutex_;
    std::unordered_map<std::string, Topic> topics_;
};

// One stream. A write is started when the one before it is done, so what is published meanwhile waits here.
class Subscription final : public grpc::ServerWriteReactor<_SubscriptionItem> {
  public:
    Subscription(Topics &topics, std::string topic) : topics_(topics), topic_(std::move(topic)) {}

    void send(SharedItem item) {
        std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(item));
        if (waiting_.size() == 1 && !is_finished_) StartWrite(waiting_.front().get());
    }

  private:
    void OnWriteDone(bool is_written) override {
        std::lock_guard lock(mutex_);
        waiting_.pop_front();
        if (!is_written) finish();
        if (!is_finished_ && !waiting_.empty()) StartWrite(waiting_.front().get());
    }

    void OnCancel() override {
        std::lock_guard lock(mutex_);
        finish();
    }

    void OnDone() override {
        topics_.leave(topic_, this);
        delete this;
    }

    void finish() {
        if (!std::exchange(is_finished_, true)) Finish(grpc::Status::CANCELLED);
    }

    Topics &topics_;
    const std::string topic_;
    std::mutex mutex_;
    // The first of them is being written.
    std::deque<SharedItem> waiting_;
    bool is_finished_ = false;
};

grpc::ServerUnaryReactor *Topics::Publish(grpc::CallbackServerContext *context, const _PublishRequest *request,
                                          common::_Empty *) {
    {
        // Held while all are handed the message: every subscription has the messages in one order, and none of them
        // can go before `leave`.
        std::lock_guard lock(mutex_);
        auto &topic = topics_[request->topic()];
        auto message = std::make_shared<_SubscriptionItem>();
        message->mutable_item()->set_topic_sequence_number(++topic.last_sequence_number);
        *message->mutable_item()->mutable_value() = request->value();
        const SharedItem item = std::move(message);
        for (auto *subscription : topic.subscriptions) subscription->send(item);
    }
    auto *reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
}

grpc::ServerWriteReactor<_SubscriptionItem> *Topics::Subscribe(grpc::CallbackServerContext *,
                                                               const _SubscriptionRequest *request) {
    auto *subscription = new Subscription(*this, request->topic());
    auto heartbeat = std::make_shared<_SubscriptionItem>();
    heartbeat->mutable_heartbeat();
    std::lock_guard lock(mutex_);
    topics_[request->topic()].subscriptions.insert(subscription);
    subscription->send(std::move(heartbeat));
    return subscription;
}

}  // namespace

int main() {
    // Taken by sigwait below, in whatever thread gRPC starts.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    Items items;
    Topics topics;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&items);
    builder.RegisterService(&topics);
    auto server = builder.BuildAndStart();
    if (!server || port == 0) {
        std::fputs("the server did not start\n", stderr);
        return 1;
    }
    std::printf("{\"port\": %d, \"version\": \"%s\"}\n", port, grpc::Version().c_str());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    server->Shutdown(std::chrono::system_clock::now());
    return 0;
}
