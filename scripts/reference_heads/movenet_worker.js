// What @tensorflow-models/pose-detection makes of MoveNet's outputs: its detector gets a model that answers with them.
// CASES.json ANSWERS.json; run with NODE_PATH at the installed packages.
const fs = require("fs");
const tf = require("@tensorflow/tfjs-core");
require("@tensorflow/tfjs-backend-cpu");
// The detector loads its network by this module, so what it finds there is the network that only answers.
const converter = require("@tensorflow/tfjs-converter");
let model = null;
require.cache[require.resolve("@tensorflow/tfjs-converter")].exports = { ...converter, loadGraphModel: async () => model };
const { load } = require("@tensorflow-models/pose-detection/dist/movenet/detector");

async function decode(one, width, height) {
  model = { execute: () => tf.tensor(one.raw.data, one.raw.shape), dispose: () => {} };
  const isMulti = one.head === "movenet-multipose";
  const detector = await load({
    modelType: isMulti ? "MultiPose.Lightning" : "SinglePose.Lightning",
    enableSmoothing: false,
    minPoseScore: one.score,
    multiPoseMaxDimension: one.input_wh[0],
  });
  const poses = await detector.estimatePoses(tf.zeros([height, width, 3], "int32"));
  return {
    scores: poses.map((pose) => pose.score),
    points: poses.map((pose) => pose.keypoints.map((point) => [point.x, point.y])),
    point_scores: poses.map((pose) => pose.keypoints.map((point) => point.score)),
    boxes: poses.map((pose) =>
      pose.box ? [pose.box.xMin * width, pose.box.yMin * height, pose.box.xMax * width, pose.box.yMax * height] : null),
  };
}

async function main() {
  await tf.setBackend("cpu");
  const answers = [];
  for (const one of JSON.parse(fs.readFileSync(process.argv[2]))) {
    for (const [width, height] of one.pictures_wh) {
      answers.push({ key: one.key, picture_wh: [width, height], ...(await decode(one, width, height)) });
    }
  }
  fs.writeFileSync(process.argv[3], JSON.stringify(answers));
}

main();
