/* SPDX-License-Identifier: MIT */
/*
 * librdkafka: a Kafka producer (librdkafka-dev) that writes to its own mock
 * cluster: the batching client that most know, with a broker in the process, so
 * that no network and no disk is measured. A record is consumed when its
 * delivery report says that the broker has it; the report shows the record.
 *
 * Its queue is bounded at 64 Ki messages. linger.ms is 5, the default; batches
 * of up to 10,000 messages, the default. Each producer writes to one of the mock
 * topic's 4 partitions. Calls of many are rd_kafka_produce_batch.
 */
#include <librdkafka/rdkafka.h>

#include "harness/bench.h"

#define PEER_NAME  "librdkafka"
#define PEER_ABOUT "a Kafka producer and its own mock cluster in the process"
#define PEER_CAN   (BENCH_BULK | BENCH_VARIABLE)

#define PARTITIONS 4

struct queue {
	rd_kafka_t *kafka;
	rd_kafka_topic_t *topic;
	struct bench *bench;
	size_t taken; /* by the poll that runs */
};

struct producer {
	rd_kafka_topic_t *topic;
	int32_t partition;
};

static void delivered(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
	struct queue *queue = opaque;
	(void)kafka;
	if (message->err)
		bench_fail("not delivered: %s", rd_kafka_err2str(message->err));
	bench_look(bench_check_at(queue->bench, (unsigned)message->partition), message->payload,
	           message->len);
	queue->taken++;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];
	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		bench_fail("%s", why);
}

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	set(conf, "test.mock.num.brokers", "1");
	set(conf, "queue.buffering.max.messages", "65536");
	set(conf, "queue.buffering.max.kbytes", "1048576");
	set(conf, "linger.ms", "5");
	set(conf, "log_level", "0");
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	rd_kafka_conf_set_opaque(conf, queue);
	queue->bench = bench;
	queue->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!queue->kafka)
		bench_fail("%s", why);
	queue->topic = rd_kafka_topic_new(queue->kafka, "bench", NULL);
	/* Not in the time: the topic is made, and its partitions known. */
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(queue->kafka, 0, queue->topic, &metadata, 10000);
	if (err)
		bench_fail("%s", rd_kafka_err2str(err));
	rd_kafka_metadata_destroy(metadata);
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	rd_kafka_topic_destroy(queue->topic);
	rd_kafka_destroy(queue->kafka);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	producer->topic = queue->topic;
	producer->partition = (int32_t)(id % PARTITIONS);
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	int rc = rd_kafka_produce(producer->topic, producer->partition, RD_KAFKA_MSG_F_COPY,
	                          (void *)(uintptr_t)data, len, NULL, 0, NULL);
	if (rc != 0 && rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
		bench_fail("%s", rd_kafka_err2str(rd_kafka_last_error()));
	return rc == 0;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	rd_kafka_message_t messages[BENCH_BATCH_MAX];
	memset(messages, 0, n * sizeof(messages[0]));
	for (unsigned i = 0; i < n; i++) {
		messages[i].payload = (char *)(uintptr_t)base + i * len;
		messages[i].len = len;
	}
	int done = rd_kafka_produce_batch(producer->topic, producer->partition, RD_KAFKA_MSG_F_COPY, messages,
	                                  (int)n);
	for (int i = done; i < (int)n; i++) {
		if (messages[i].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			bench_fail("%s", rd_kafka_err2str(messages[i].err));
	}
	return (unsigned)done;
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	(void)bench;
	queue->taken = 0;
	rd_kafka_poll(queue->kafka, 10);
	return queue->taken;
}

#include "harness/drive.h"
