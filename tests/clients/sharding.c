/* libmemcached over nodes; driver.py says what is read and answered.
 *
 *     gcc sharding.c -lmemcached && ./a.out KETAMA_WEIGHTED=1 HASH=1 HOST:PORT...
 */
#include <libmemcached/memcached.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 100000

static const char *keys[KEYS_MAX];
static size_t lengths[KEYS_MAX];

/* Splits the rest of a line into keys. */
static size_t take_keys(char **rest) {
  size_t count = 0;
  for (char *key; count < KEYS_MAX && (key = strtok_r(NULL, " \n", rest)); count++) {
    keys[count] = key;
    lengths[count] = strlen(key);
  }
  return count;
}

static void set(memcached_st *client, const char *value, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (memcached_failed(memcached_set(client, keys[i], lengths[i], value, strlen(value), 0, 0))) {
      printf("%s ", keys[i]);
    }
  }
}

/* Some nodes may fail; what the others have is fetched. */
static void get(memcached_st *client, size_t count) {
  memcached_return_t status;
  memcached_result_st *result;
  memcached_mget(client, keys, lengths, count);
  while ((result = memcached_fetch_result(client, NULL, &status))) {
    printf("%.*s=%.*s ", (int) memcached_result_key_length(result), memcached_result_key_value(result),
           (int) memcached_result_length(result), memcached_result_value(result));
    memcached_result_free(result);
  }
}

/* Sets the behaviour of this name; false if there is none. */
static bool behave(memcached_st *client, const char *name, uint64_t value) {
  char full[100];
  snprintf(full, sizeof full, "MEMCACHED_BEHAVIOR_%s", name);
  for (int flag = 0; flag < MEMCACHED_BEHAVIOR_MAX; flag++) {
    const char *known = libmemcached_string_behavior((memcached_behavior_t) flag);
    if (known && strcmp(known, full) == 0) {
      return memcached_success(memcached_behavior_set(client, (memcached_behavior_t) flag, value));
    }
  }
  return false;
}

/* Takes one argument: a behaviour or a node. */
static bool take(memcached_st *client, char *argument) {
  char *value = strchr(argument, '='), *port = strchr(argument, ':');
  if (value) {
    *value++ = 0;
    return behave(client, argument, strtoul(value, NULL, 10));
  }
  if (port) {
    *port++ = 0;
    return memcached_success(memcached_server_add(client, argument, atoi(port)));
  }
  return false;
}

int main(int argc, char **argv) {
  memcached_st *client = memcached_create(NULL);
  char *line = NULL, *rest = NULL;
  size_t size = 0;
  for (int i = 1; i < argc; i++) {
    if (!take(client, argv[i])) {
      fprintf(stderr, "%s is not taken\n", argv[i]);
      return 1;
    }
  }
  while (getline(&line, &size, stdin) > 0) {
    const char *verb = strtok_r(line, " \n", &rest);
    if (strcmp(verb, "set") == 0) {
      const char *value = strtok_r(NULL, " \n", &rest);
      set(client, value, take_keys(&rest));
    } else {
      get(client, take_keys(&rest));
    }
    puts("");
    fflush(stdout);
  }
  free(line);
  memcached_free(client);
  return 0;
}
