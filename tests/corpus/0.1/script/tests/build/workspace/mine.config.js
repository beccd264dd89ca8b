const n = 1 + Date.now(); export default { output: { folder: "www", computed: n } }
