'use strict';

/**
 * What is measured inside a contestant's process: event-loop stalls and resident memory.
 */

const fs = require('node:fs');
const v8 = require('node:v8');
const vm = require('node:vm');
const { setTimeout: sleep } = require('node:timers/promises');

const PROBE_INTERVAL_MS = 1;

/**
 * The longest time for which the event loop did not come round.
 *
 * A timer of 1 ms notes how long it is since its last turn; the stall is the longest such gap, whole: an idle loop shows
 * 1 to 2 ms, and taking these off would make a call that blocks at once look better than it is.
 *
 * A timer and not a loop of `setImmediate`, since that would keep one of two cores busy and so slow the very threads that
 * are measured. Not `perf_hooks.monitorEventLoopDelay` either: it drops the gap before its first turn and the one after
 * its last (a block of 50 ms there showed as 2 ms), and that is where a call hides that blocks at once or just before it
 * resolves.
 *
 * `busy` is the longest time between two turns that the thread was not waiting for events: what its own work (or being
 * pushed off its core in the middle of it) amounts to. The rest of a stall is waiting to be woken, as happens when other
 * threads, the contestant's own or another program's, have the cores.
 */
class StallProbe {
  #longest = 0;
  #last = 0;
  #busy = 0;
  #utilization;
  #timer;

  /**
   * @param {() => Promise<unknown>} work
   * @returns {Promise<{ longest: number, busy: number }>} milliseconds
   */
  static async during(work) {
    const probe = new StallProbe();
    await probe.#start();
    await work();
    return probe.#stop();
  }

  async #start() {
    this.#timer = setInterval(() => this.#turn(), PROBE_INTERVAL_MS);
    await sleep(5);
    this.#turn();
    this.#longest = 0;
    this.#busy = 0;
  }

  async #stop() {
    // Two more turns: a loop that was blocked until now shows in the first of them.
    await sleep(2 * PROBE_INTERVAL_MS);
    clearInterval(this.#timer);
    return { longest: this.#longest, busy: this.#busy };
  }

  #turn() {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
    const utilization = performance.eventLoopUtilization();
    if (this.#utilization) {
      this.#busy = Math.max(this.#busy, utilization.active - this.#utilization.active);
    }
    this.#utilization = utilization;
  }
}

/**
 * Resident memory of this process: now, and the most since it started.
 * The peak is the kernel's own high-water mark. (`process.resourceUsage().maxRSS` would not do on Linux: a child
 * inherits there what its parent had reached.)
 * @returns {{ now: number, peak: number }} bytes
 */
function residentMemory() {
  try {
    const status = fs.readFileSync('/proc/self/status', 'utf8');
    const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]);
    return { now: kilobytes('VmRSS') * 1024, peak: kilobytes('VmHWM') * 1024 };
  } catch {
    return { now: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
  }
}

/**
 * Resident memory once all that can be collected is collected and the process has been idle for a while: the most
 * favourable figure for contestants that leave garbage behind.
 */
async function settledMemory() {
  // Not by the command line: a process with a flag of V8's has no compiled code of Node.js's own, and each first call would
  // take some milliseconds more.
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  for (let round = 0; round < 2; round += 1) {
    gc();
    await sleep(50);
  }
  return residentMemory().now;
}

module.exports = { StallProbe, residentMemory, settledMemory };
