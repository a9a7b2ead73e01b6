using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace BareLoop;

/// <summary>Measures <c>Run</c> alone: the inputs are ready before the clock starts, and the outputs are not read.</summary>
internal static class Loop
{
    public static void Run(Arguments given)
    {
        var texts = Read(given.Text("ids"));
        using var session = Open(given, out var output);
        var batches = Pack(texts, given.Number("budget", 512), session);
        using var options = new RunOptions();
        var (next, callers, times) = (-1, given.Number("callers", 1), given.Number("times", 1));
        Compute(session, options, batches[batches.Count / 2], output);

        var (began, cpu) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        var threads = Enumerable.Range(0, callers).Select(_ => new Thread(() =>
        {
            for (int i; (i = Interlocked.Increment(ref next)) < batches.Count * times;) Compute(session, options, batches[i % batches.Count], output);
        })).ToList();
        threads.ForEach(static thread => thread.Start());
        threads.ForEach(static thread => thread.Join());
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Say("tokens_per_s", (double)texts.Sum(static text => text.Length) * times / seconds);
        Say("cores", (Environment.CpuUsage.TotalTime - cpu).TotalSeconds / seconds);
    }

    public static void Single(Arguments given)
    {
        var text = Read(given.Text("ids"))[0];
        using var session = Open(given, out var output);
        using var options = new RunOptions();
        var batch = Pack([text], text.Length, session)[0];
        var times = new double[given.Number("count", 800)];
        for (var i = -20; i < times.Length; i++)
        {
            var began = Stopwatch.GetTimestamp();
            Compute(session, options, batch, output);
            if (i >= 0) times[i] = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        }

        Array.Sort(times);
        Say("p50_ms", times[times.Length / 2]);
        Say("p99_ms", times[times.Length * 99 / 100]);
    }

    private static InferenceSession Open(Arguments given, out string[] output)
    {
        using var settings = new SessionOptions
        {
            IntraOpNumThreads = given.Number("threads", 2),
            InterOpNumThreads = 1,
            EnableCpuMemArena = given.Number("arena", 1) == 1,
            EnableMemoryPattern = given.Number("arena", 1) == 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        settings.AddSessionConfigEntry("session.intra_op.allow_spinning", given.Number("spin", 1) == 1 ? "1" : "0");
        if (given.Number("spin-us", -1) is >= 0 and var us)
            settings.AddSessionConfigEntry("session.intra_op.spin_duration_us", us.ToString(CultureInfo.InvariantCulture));
        var session = new InferenceSession(given.Text("graph"), settings);
        output = [session.OutputMetadata.Keys.First(static name => name is "last_hidden_state" or "logits" or "token_embeddings")];
        return session;
    }

    private static void Compute(InferenceSession session, RunOptions options, Batch batch, string[] output)
    {
        using var results = session.Run(options, batch.Names, batch.Values, output);
    }

    private static int[][] Read(string path) =>
        [.. File.ReadLines(path).Select(static line => line.Split(' ').Select(static id => int.Parse(id, CultureInfo.InvariantCulture)).ToArray())];

    /// <summary>
    /// Puts texts of similar length into a batch and distributes the batch's tokens evenly over its rows: the same ids, without any padding.
    /// </summary>
    private static List<Batch> Pack(int[][] texts, int budget, InferenceSession session)
    {
        var batches = new List<Batch>();
        var (ids, rows) = (new List<int>(), 0);
        foreach (var text in texts.OrderBy(static text => text.Length))
        {
            if (rows > 0 && ids.Count + text.Length > budget) Close();
            ids.AddRange(text);
            rows++;
        }

        Close();
        return batches;

        void Close()
        {
            var length = ids.Count / rows;
            batches.Add(new([.. ids.Take(rows * length)], rows, length, session));
            (ids, rows) = ([], 0);
        }
    }

    private static void Say(string name, double value) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name} {value:0.###}"));

    private sealed class Batch
    {
        public Batch(int[] ids, int rows, int length, InferenceSession session)
        {
            Names = [.. session.InputMetadata.Keys];
            Values = [.. Names.Select(name =>
            {
                var data = new long[ids.Length];
                if (name == "attention_mask") Array.Fill(data, 1);
                else if (name == "input_ids") for (var i = 0; i < data.Length; i++) data[i] = ids[i];
                return OrtValue.CreateTensorValueFromMemory(data, [rows, length]);
            })];
        }

        public string[] Names { get; }

        public OrtValue[] Values { get; }
    }
}
