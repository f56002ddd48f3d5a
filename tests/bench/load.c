/*
 * load.c - whether a shell stays quick while its session is full.
 *
 *     bench_load AGENT
 *
 * starts the vsockfs-agent AGENT on a Unix socket and has, on one session and all at the same time,
 *
 *   IN_FLIGHT calls under way, OP_STAT and OP_READ in turns
 *   an OP_EXPORT of a file of 1 GiB, and another one if the samples are not all taken when it ends
 *   a shell, into which single characters are typed: a sample is the time until the character's echo has come
 *   through an OP_STREAM that follows.  They are spread evenly over the export.
 *
 * Prints the median and the 99th percentile of the samples, and the largest resident sets of the
 * agent and of itself; exits with 1 when one is over its bound (below).  With VSOCKFS_LOAD_MIB
 * set, the file has so many MiB, and the latencies are printed only: they are the machine's, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/call.h"
#include "protocol/session/frame.h"
#include "protocol/session/mux.h"
#include "tests/bench/kit.h"

/* The bounds. */
#define MEDIAN_MS 20.0
#define P99_MS 100.0
#define AGENT_KIB (32l << 10)
#define OWN_KIB (64l << 10)

#define IN_FLIGHT 200u
#define LOADERS 8u
#define EACH (IN_FLIGHT / LOADERS)
#define SMALL_READ (4u << 10)
#define LARGE_EVERY 16u /* that many calls: one of OPS_IO_MAX */
#define READ_FILE (4u << 20)

#define SAMPLES 300u
/* What is typed, in turn: none of it is in a prompt or in what a line editor writes. */
#define KEYS "wxyz"
#define LINE 60u /* characters, then the line is begun anew */
#define KILL_LINE "\x15"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_OURS false
#else
#define MEMORY_IS_OURS true
#endif
#define PATIENCE 60.0 /* seconds: what takes longer hangs */
#define SAMPLING 60.0 /* seconds: a shell that is not through by then is slow */

struct load {
	struct bench_agent agent;
	struct mux *mux;
	uint64_t mib;
	uint32_t handle; /* of the file that is read */
	atomic_bool over;
	atomic_ullong calls;
	struct cancel cancel; /* ends the following of the shell */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t exported;    /* lock; bytes, of all exports */
	unsigned exports;     /* lock; that have ended */
	const char *expected; /* lock; what the shell is to show, as far as it has not yet */
	int64_t shown_at;     /* lock; when it had shown all of that */
};

struct loader {
	struct load *load;
	pthread_t thread;
	unsigned turn;
	struct mux_ticket *tickets[EACH]; /* a ring, from turn on */
};

/* Starts a thread or dies. */
static pthread_t start(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg) != 0)
		bench_die("pthread_create", "no thread to be had");
	return thread;
}

/* Until WHAT has become true, with the lock held. */
static void wait_changed(struct load *load, const char *what)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)PATIENCE;
	if (pthread_cond_clockwait(&load->changed, &load->lock, CLOCK_MONOTONIC, &until) != 0)
		bench_die(what, "nothing comes any more");
}

static void ask(struct load *load, enum session_op op, const struct buf *args, struct buf *reply)
{
	struct call call = call_within(PATIENCE, NULL);
	struct error err = { 0 };

	if (mux_call(load->mux, &call, op, args, reply, NULL, &err) < 0)
		bench_die(ops_name(op), err.text);
}

/*
 * Files
 */

/* Without blocks where FILL is 0. */
static void make_file(struct load *load, const char *name, uint64_t size, char fill)
{
	char path[128], block[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", load->agent.work, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		bench_die(path, strerror(errno));
	memset(block, fill, sizeof(block));
	for (uint64_t at = 0; fill && at < size; at += sizeof(block)) {
		if (pwrite(fd, block, sizeof(block), (off_t)at) != sizeof(block))
			bench_die(path, strerror(errno));
	}
	close(fd);
}

static void open_file(struct load *load)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;

	pack_text(&args, "small");
	pack_u32(&args, OPEN_READ);
	pack_u32(&args, 0);
	ask(load, OP_OPEN, &args, &reply);
	in = unpack_from(reply.data, reply.len);
	load->handle = unpack_u32(&in);
}

/*
 * The calls in flight
 */

static void begin(struct loader *loader)
{
	autobuf struct buf args = BUF_INIT(64);
	struct call call = call_within(PATIENCE, NULL);
	struct error err = { 0 };
	unsigned turn = loader->turn;
	uint32_t len = turn % LARGE_EVERY == 1 ? OPS_IO_MAX : SMALL_READ;
	enum session_op op = turn % 2 ? OP_READ : OP_STAT;

	if (op == OP_STAT) {
		pack_text(&args, "small");
	} else {
		pack_u32(&args, loader->load->handle);
		pack_u64(&args, (uint64_t)turn * SMALL_READ % (READ_FILE - OPS_IO_MAX));
		pack_u32(&args, len);
	}
	if (mux_begin(loader->load->mux, &call, op, &args, &loader->tickets[turn % EACH], &err) < 0)
		bench_die(ops_name(op), err.text);
	loader->turn++;
}

/* The oldest, whose place is the next one's. */
static void finish(struct loader *loader, struct buf *reply)
{
	struct call call = call_within(PATIENCE, NULL);
	struct error err = { 0 };

	if (mux_finish(loader->tickets[loader->turn % EACH], &call, reply, NULL, &err) < 0)
		bench_die("a call in flight", err.text);
	if (reply->len < OPS_ATTR_SIZE)
		bench_die("a call in flight", "its answer is too short");
	atomic_fetch_add(&loader->load->calls, 1);
}

static void *run_loader(void *arg)
{
	autobuf struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	struct loader *loader = arg;

	for (unsigned i = 0; i < EACH; i++)
		begin(loader);
	while (!atomic_load(&loader->load->over)) {
		finish(loader, &reply);
		begin(loader);
	}
	for (unsigned i = 0; i < EACH; i++, loader->turn++)
		finish(loader, &reply);
	return NULL;
}

/*
 * The export
 */

static int take_export(void *arg, const void *bytes, size_t len)
{
	struct load *load = arg;

	(void)bytes;
	pthread_mutex_lock(&load->lock);
	load->exported += len;
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->lock);
	return 0;
}

static void *run_export(void *arg)
{
	autobuf struct buf args = BUF_INIT(64);
	struct load *load = arg;

	pack_text(&args, "large");
	do {
		struct call call = call_within(PATIENCE, NULL);
		struct error err = { 0 };

		if (mux_download(load->mux, &call, OP_EXPORT, &args, true, take_export, load, NULL,
				 &err) < 0)
			bench_die("export", err.text);
		pthread_mutex_lock(&load->lock);
		load->exports++;
		if (load->exported < load->exports * load->mib << 20)
			bench_die("export", "it is shorter than the file");
		pthread_cond_broadcast(&load->changed);
		pthread_mutex_unlock(&load->lock);
	} while (!atomic_load(&load->over));
	return NULL;
}

/*
 * The shell
 */

static int take_output(void *arg, const void *bytes, size_t len)
{
	struct load *load = arg;
	const char *text = bytes;

	pthread_mutex_lock(&load->lock);
	for (size_t i = 0; i < len && *load->expected; i++) {
		if (text[i] == *load->expected && !*++load->expected) {
			load->shown_at = call_now();
			pthread_cond_broadcast(&load->changed);
		}
	}
	pthread_mutex_unlock(&load->lock);
	return 0;
}

static void *run_follow(void *arg)
{
	autobuf struct buf args = BUF_INIT(256);
	struct load *load = arg;
	struct call call = call_within(PATIENCE, &load->cancel);
	struct error err = { 0 };
	int rc;

	buf_adds(&args, "{\"kind\": \"shell\", \"name\": \"load\", \"follow\": true}");
	rc = mux_download(load->mux, &call, OP_STREAM, &args, true, take_output, load, NULL, &err);
	if (rc != -EINTR)
		bench_die("the shell's output", rc ? err.text : "it has ended");
	return NULL;
}

/* Types INPUT; the nanoseconds until all characters of EXPECTED have come, in this order. */
static int64_t type(struct load *load, const char *input, const char *expected)
{
	autobuf struct buf args = BUF_INIT(512), reply = BUF_INIT(64);
	int64_t typed_at, took;

	pack_text(&args, "load");
	buf_adds(&args, input);
	pthread_mutex_lock(&load->lock);
	load->expected = expected;
	typed_at = load->shown_at = call_now();
	pthread_mutex_unlock(&load->lock);

	ask(load, OP_SHELL_WRITE, &args, &reply);
	pthread_mutex_lock(&load->lock);
	while (*load->expected)
		wait_changed(load, "the shell's echo");
	took = load->shown_at - typed_at;
	pthread_mutex_unlock(&load->lock);
	return took;
}

static void open_shell(struct load *load)
{
	autobuf struct buf args = BUF_INIT(512), reply = BUF_INIT(FRAME_BODY_MAX);

	/* So wide that no line of ours is ever wrapped. */
	buf_addf(&args, "{\"shell_id\": \"load\", \"cwd\": \"%s\", \"cols\": 500, \"rows\": 50}",
		 load->agent.work);
	ask(load, OP_SHELL_OPEN, &args, &reply);
}

static void close_shell(struct load *load)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(FRAME_BODY_MAX);

	buf_adds(&args, "{\"shell_id\": \"load\"}");
	ask(load, OP_SHELL_CLOSE, &args, &reply);
}

/* When so much of the export has come that it is this sample's turn; if it goes on that long. */
static void await_turn(struct load *load, unsigned sample)
{
	uint64_t from = (load->mib << 20) * sample / SAMPLES;

	pthread_mutex_lock(&load->lock);
	while (load->exported < from)
		wait_changed(load, "the export");
	pthread_mutex_unlock(&load->lock);
}

/* How many there are: fewer than SAMPLES where that would take for ever. */
static unsigned take_samples(struct load *load, double *samples)
{
	struct call call = call_within(SAMPLING, NULL);
	char key[2] = { 0 };
	unsigned i;

	/* Only the answer has it in one piece: then the prompt is one without letters. */
	type(load, "PS1='$ '; echo 1'2'3\n", "123\r\n$");
	type(load, "v", "v");
	for (i = 0; i < SAMPLES && call_remaining_ms(&call); i++) {
		if (i % LINE == 0)
			type(load, KILL_LINE, "");
		await_turn(load, i);
		key[0] = KEYS[i % strlen(KEYS)];
		samples[i] = (double)type(load, key, key) / 1e6;
	}
	return i;
}

/*
 * Verdicts
 */

static long peak_kib(pid_t pid)
{
	char path[40], line[128];
	long kib = -1;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	if (!status)
		bench_die(path, strerror(errno));
	while (kib < 0 && fgets(line, sizeof(line), status)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	}
	fclose(status);
	if (kib < 0)
		bench_die(path, "it has no VmHWM");
	return kib;
}

static bool judge(struct load *load, double *samples, unsigned count, double seconds,
		  bool judge_latency)
{
	double median = bench_percentile(samples, count, 50);
	double p99 = bench_percentile(samples, count, 99);
	long agent = peak_kib(load->agent.pid), own = peak_kib(getpid());
	bool slow = count < SAMPLES || median > MEDIAN_MS || p99 > P99_MS;
	bool large = MEMORY_IS_OURS && (agent > AGENT_KIB || own > OWN_KIB);

	printf("beside       %u calls in flight, %.0f a second; export, %.0f MiB a second\n",
	       IN_FLIGHT, (double)atomic_load(&load->calls) / seconds,
	       (double)load->exported / seconds / (1 << 20));
	printf("shell's echo %u: median %.2f ms (at most %.0f)   p99 %.2f ms (%.0f)   worst %.2f "
	       "ms\n",
	       count, median, MEDIAN_MS, p99, P99_MS, samples[count - 1]);
	printf("peak memory  agent %.1f MiB (at most %ld)   this %.1f MiB (%ld)\n",
	       (double)agent / 1024, AGENT_KIB >> 10, (double)own / 1024, OWN_KIB >> 10);
	if (slow)
		fprintf(stderr, "bench_load: the shell is slow%s\n",
			judge_latency ? "" : ", which a small run does not judge");
	if (large)
		fputs("bench_load: too much memory\n", stderr);
	return !large && !(slow && judge_latency);
}

static void parse_mib(struct load *load, const char *text)
{
	char *end;

	load->mib = strtoul(text, &end, 10);
	if (end == text || *end || !load->mib || load->mib > 1u << 20)
		bench_die("VSOCKFS_LOAD_MIB", "it is a number of MiB, 1 to 1048576");
}

int main(int argc, char **argv)
{
	struct load load = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .changed = PTHREAD_COND_INITIALIZER,
			     .expected = "" };
	const char *mib = getenv("VSOCKFS_LOAD_MIB");
	struct loader loaders[LOADERS] = { 0 };
	double samples[SAMPLES];
	pthread_t follow, export;
	unsigned count;
	int64_t since;
	bool good;

	if (argc != 2) {
		fputs("usage: bench_load AGENT\n", stderr);
		return 2;
	}
	parse_mib(&load, mib ? mib : "1024");
	cancel_init(&load.cancel);
	bench_agent_start(&load.agent, argv[1]);
	make_file(&load, "large", load.mib << 20, '\0');
	make_file(&load, "small", READ_FILE, 's');
	load.mux = bench_session(&load.agent);
	open_file(&load);
	open_shell(&load);

	since = call_now();
	follow = start(run_follow, &load);
	for (unsigned i = 0; i < LOADERS; i++) {
		loaders[i].load = &load;
		loaders[i].thread = start(run_loader, &loaders[i]);
	}
	export = start(run_export, &load);
	count = take_samples(&load, samples);

	atomic_store(&load.over, true);
	pthread_join(export, NULL);
	for (unsigned i = 0; i < LOADERS; i++)
		pthread_join(loaders[i].thread, NULL);
	good = judge(&load, samples, count, (double)(call_now() - since) / 1e9, !mib);

	cancel_fire(&load.cancel);
	pthread_join(follow, NULL);
	close_shell(&load);
	mux_unref(load.mux);
	bench_agent_end(&load.agent);
	return good ? 0 : 1;
}
