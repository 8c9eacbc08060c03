// The table of devices, for ten thousand of them: it fetches all rows once and then what changed, filters and sorts
// in the browser, and draws the first hundred, and more as one scrolls.
// A component of its own, not a Quasar table with a slot: NiceGUI builds a slot's content anew at every update, and
// with it go the focus, a text selection and a click under way.
const STEP = 100;
const POLL_MS = 250;
const FIELDS = ["group", "device", "state", "since_ms", "model", "precision", "version", "throughput", "p50", "p95",
  "temperature", "throttled", "seen_ms"];
const NOT_TOLD = "–";
const collator = new Intl.Collator(undefined, { numeric: true });
const format = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

function age(thenMs, nowMs) {
  if (!thenMs) return "never";
  const seconds = Math.floor(Math.max(0, nowMs - thenMs) / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export default {
  template: `
    <section class="card devices" aria-label="Devices" @keydown="keyed">
      <div class="top">
        <h2>Devices</h2>
        <span class="quiet" role="status">{{ said }}</span>
        <span class="grow"></span>
        <select v-for="filter in filters" :key="filter.field" v-model="wanted[filter.field]" :aria-label="filter.label"
                :class="{active: wanted[filter.field]}">
          <option value="">{{ filter.label }}: all</option>
          <option v-for="value in choices[filter.field]" :key="value" :value="value">{{ value }}</option>
        </select>
        <input type="search" v-model="wanted.find" placeholder="Find ( / )" aria-label="Find a device" ref="find" />
      </div>
      <p v-if="trouble" class="trouble" role="alert">{{ trouble }}</p>
      <table class="fleet-table" aria-label="Devices" :aria-rowcount="shown.length + 1">
        <thead>
          <tr aria-rowindex="1">
            <th v-for="column in columns" :key="column.name" :class="[column.align, 'head-' + column.name]"
                :aria-sort="sortState(column)">
              <button type="button" @click="sortBy(column)">{{ column.label }}</button>
            </th>
          </tr>
        </thead>
        <tbody>
          <tr v-for="(row, index) in drawn" :key="row.key" class="fleet-row" :data-device="row.key"
              :aria-rowindex="index + 2">
            <td v-for="column in columns" :key="column.name" :data-label="column.label"
                :class="[column.align, 'cell-' + column.name]">
              <a v-if="column.name === 'device'" class="device-link" :href="'/device/' + row.key">{{ row.device }}</a>
              <span v-else-if="column.name === 'state'" :class="'state state-' + row.state">{{ text(row, 'state') }}</span>
              <span v-else :class="{hot: column.name === 'throttled' && row.throttled}">{{ text(row, column.name) }}</span>
            </td>
          </tr>
        </tbody>
      </table>
      <p v-if="loaded && !shown.length" class="quiet">No device matches.</p>
      <p v-show="drawn.length < shown.length" ref="more">
        <button type="button" class="more-button" @click="limit += 100">Show more of {{ shown.length.toLocaleString("en-GB") }}</button>
      </p>
    </section>
  `,
  props: { columns: Array },
  data() {
    const asked = new URLSearchParams(location.search);
    const wanted = { find: asked.get("find") || "" };
    for (const field of ["state", "model", "version", "group"]) wanted[field] = asked.get(field) || "";
    return { wanted, sortedBy: "device", descending: false, limit: STEP, tick: 0, nowMs: 0, trouble: "", loaded: false };
  },
  created() {
    // Not in data(): Vue must not watch ten thousand rows one by one; `tick` says that some changed.
    this.byKey = new Map();
    this.run = "";
    this.number = 0;
    this.filters = [
      { field: "state", label: "State" }, { field: "model", label: "Model" },
      { field: "version", label: "Version" }, { field: "group", label: "Group" },
    ];
  },
  mounted() {
    this.ended = false;
    this.watcher = new IntersectionObserver((seen) => {
      if (seen.some((one) => one.isIntersecting)) this.limit += STEP;
    }, { rootMargin: "400px" });
    this.watcher.observe(this.$refs.more);
    document.addEventListener("keydown", this.slash);
    this.poll();
  },
  unmounted() {
    this.ended = true;
    this.watcher.disconnect();
    document.removeEventListener("keydown", this.slash);
  },
  watch: {
    wanted: {
      deep: true,
      handler() {
        this.limit = STEP;
        const asked = new URLSearchParams(Object.entries(this.wanted).filter(([, value]) => value));
        history.replaceState(history.state, "", asked.size ? `?${asked}` : location.pathname);
      },
    },
  },
  computed: {
    said() {
      const total = (this.tick, this.byKey.size);
      if (!this.loaded) return "loading";
      const count = (number) => number.toLocaleString("en-GB");
      return this.shown.length === total ? count(total) : `${count(this.shown.length)} of ${count(total)}`;
    },
    choices() {
      this.tick;
      const found = { state: new Set(), model: new Set(), version: new Set(), group: new Set() };
      for (const row of this.byKey.values()) for (const field in found) if (row[field]) found[field].add(row[field]);
      for (const field in found) {
        if (this.wanted[field]) found[field].add(this.wanted[field]);
        found[field] = [...found[field]].sort(collator.compare);
      }
      return found;
    },
    shown() {
      this.tick;
      const words = this.wanted.find.toLowerCase().split(/\s+/).filter(Boolean);
      const fields = this.filters.map((one) => one.field).filter((field) => this.wanted[field]);
      const rows = [];
      for (const row of this.byKey.values()) {
        if (fields.every((field) => row[field] === this.wanted[field]) && words.every((word) => row.search.includes(word)))
          rows.push(row);
      }
      return rows.sort((one, other) => this.compare(one, other) || collator.compare(one.key, other.key));
    },
    drawn() {
      return this.shown.slice(0, this.limit);
    },
  },
  methods: {
    async poll() {
      if (this.ended) return;
      try {
        if (!document.hidden || !this.loaded) await this.fetchRows();
        this.trouble = "";
      } catch (error) {
        this.trouble = "The fleet server does not answer; trying again.";
      }
      setTimeout(this.poll, this.trouble ? 2000 : POLL_MS);
    },
    async fetchRows() {
      const answer = await fetch(`/page/rows?run=${this.run}&number=${this.number}`, { redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      const got = await answer.json();
      if (got.all) this.byKey.clear();
      for (const values of got.rows) this.take(values);
      this.run = got.run;
      // A device that is gone shows in the total only.
      this.number = got.total === this.byKey.size ? got.number : 0;
      this.nowMs = got.now_ms;
      this.loaded = true;
      if (got.rows.length || got.all) this.tick++;
    },
    take(values) {
      const row = {};
      FIELDS.forEach((field, place) => { row[field] = values[place]; });
      row.key = `${row.group}/${row.device}`;
      row.search = [row.device, row.group, row.state, row.model, row.precision, row.version, row.throttled]
        .join(" ").toLowerCase();
      this.byKey.set(row.key, row);
    },
    text(row, name) {
      if (name === "state") return row.state === "online" ? "online" : `${row.state} ${age(row.since_ms, this.nowMs)}`;
      if (name === "seen") {
        if (!row.seen_ms) return "never";
        return this.nowMs - row.seen_ms < 5000 ? "now" : `${age(row.seen_ms, this.nowMs)} ago`;
      }
      if (name === "throttled") return row.throttled === null ? NOT_TOLD : row.throttled || "no";
      const value = row[name];
      if (typeof value === "number") return format.format(value);
      return value || NOT_TOLD;
    },
    compare(one, other) {
      const field = this.sortedBy === "seen" ? "seen_ms" : this.sortedBy;
      const [a, b] = [one[field], other[field]];
      // What a device never told stands last in both directions.
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : a === b ? 0 : collator.compare(a, b);
      return this.descending ? -order : order;
    },
    sortBy(column) {
      this.descending = this.sortedBy === column.name && !this.descending;
      this.sortedBy = column.name;
    },
    sortState(column) {
      if (column.name !== this.sortedBy) return "none";
      return this.descending ? "descending" : "ascending";
    },
    slash(event) {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.$refs.find.focus();
    },
    keyed(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || event.target.tagName === "SELECT") return;
      const links = [...this.$el.querySelectorAll(".device-link")];
      const place = links.indexOf(document.activeElement);
      if (place + step < 0) this.$refs.find.focus();
      else links[place + step]?.focus();
      event.preventDefault();
    },
  },
};
