// The table of devices. A component of its own, not a Quasar table with a slot: NiceGUI builds a slot's
// content anew at every update, and with it go the focus, a text selection and a click under way.
export default {
  template: `
    <section class="card devices">
      <div class="top">
        <h2>Devices</h2>
        <span class="grow"></span>
        <input type="search" v-model="wanted" placeholder="Find" aria-label="Find a device" />
      </div>
      <table class="fleet-table" aria-label="Devices">
        <thead>
          <tr>
            <th v-for="column in columns" :key="column.name" :class="column.align" :aria-sort="sortState(column)">
              <button type="button" @click="sortBy(column)">{{ column.label }}</button>
            </th>
          </tr>
        </thead>
        <tbody>
          <tr v-for="row in shown" :key="row.key" class="fleet-row" :data-device="row.key">
            <td v-for="column in columns" :key="column.name" :data-label="column.label"
                :class="[column.align, 'cell-' + column.name]">
              <a v-if="column.name === 'device'" class="device-link" :href="row.href">{{ row.device }}</a>
              <span v-else-if="column.name === 'state'" :class="'state state-' + row.state">{{ row.shown.state }}</span>
              <span v-else :class="{hot: column.name === 'throttled' && row.throttled}">
                {{ row.shown[column.name] }}
              </span>
            </td>
          </tr>
        </tbody>
      </table>
      <p v-if="!shown.length" class="quiet">No device matches.</p>
    </section>
  `,
  props: { columns: Array, rows: Array },
  data() {
    return { wanted: "", sortedBy: "device", descending: false };
  },
  computed: {
    shown() {
      const words = this.wanted.toLowerCase().split(/\s+/).filter(Boolean);
      const matches = (row) => {
        const text = [row.device, ...Object.values(row.shown)].join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      };
      return this.rows.filter(matches).sort((one, other) => this.compare(one, other) || one.key.localeCompare(other.key));
    },
  },
  methods: {
    compare(one, other) {
      const [a, b] = [one[this.sortedBy], other[this.sortedBy]];
      // What a device never told stands last in both directions.
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
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
  },
};
