using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Proxy.Inference;

/// <summary>
/// A loaded graph: batches of token ids in, vectors out. Several threads may call <see cref="Run"/> at the same time; the memory of one call is limited by its
/// batch.
/// </summary>
internal sealed class ModelRunner : IBatchRunner, IDisposable
{
    private const string Ids = "input_ids";
    private const string Mask = "attention_mask";
    private const string Types = "token_type_ids";
    private const string Positions = "position_ids";

    /// <summary>Usual names of the output with the tokens' vectors, and of a cross-encoder's output.</summary>
    private static readonly string[] KnownOutputs = ["last_hidden_state", "token_embeddings", "logits", "sentence_embedding"];

    private readonly InferenceSession session;
    private readonly RunOptions options = new();
    private readonly string[] inputs;
    private readonly string[] outputs;
    private readonly int padId;
    private long tokens;
    private long padding;
    private long batches;

    private ModelRunner(InferenceSession session, string output, int padId)
    {
        this.session = session;
        this.padId = padId;
        inputs = [.. session.InputMetadata.Keys];
        outputs = [output];
        Rank = session.OutputMetadata[output].Dimensions.Length;

        // The graph's metadata may leave the width open. The trial run also detects now that a graph cannot run.
        var trial = new Trial(padId);
        Run([.. trial.Sequences]);
        Width = trial.Width;
        (tokens, padding, batches) = (0, 0, 0);
    }

    /// <summary>3: a vector per token. 2: one row per text.</summary>
    public int Rank { get; }

    /// <summary>Length of a vector.</summary>
    public int Width { get; }

    /// <summary>Tokens computed so far, additional tokens that only filled batches up, and batches.</summary>
    public (long Tokens, long Padding, long Batches) Work => (Interlocked.Read(ref tokens), Interlocked.Read(ref padding), Interlocked.Read(ref batches));

    /// <summary>Loads the graph. Throws <see cref="ModelFolderException"/> if it cannot be served, and the exceptions of the runtime.</summary>
    public static ModelRunner Load(ModelFolder folder, int threads)
    {
        NativeRuntime.EnsureLoaded();
        using var settings = new Microsoft.ML.OnnxRuntime.SessionOptions
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
            // Its arena keeps the largest buffer for every shape that ever occurred; the C library returns memory.
            EnableCpuMemArena = false,
            EnableMemoryPattern = false,
        };
        // Longer than the time between two operators, which makes a short text a third faster, and far too short to take a core from the thread that reads the
        // network.
        settings.AddSessionConfigEntry("session.intra_op.spin_duration_us", "20");

        InferenceSession? session = null;
        try
        {
            using var file = folder.Files.Lease(folder.Graph);
            session = new InferenceSession(file.Path, settings);
            return new ModelRunner(session, Output(folder, session), folder.PadId);
        }
        catch (OnnxRuntimeException problem)
        {
            session?.Dispose();
            throw ModelFolder.Broken(folder.Files, folder.Graph, $"cannot be run: {problem.Message}");
        }
        catch
        {
            session?.Dispose();
            throw;
        }
        finally
        {
            NativeRuntime.TrimHeap();
        }
    }

    public void Run(List<Sequence> batch)
    {
        var (count, longest, sum) = (batch.Count, 0, 0);
        foreach (var sequence in batch)
        {
            longest = Math.Max(longest, sequence.Length);
            sum += sequence.Length;
        }

        var values = new OrtValue[inputs.Length];
        try
        {
            for (var i = 0; i < inputs.Length; i++) values[i] = Fill(inputs[i], batch, count, longest);
            using var results = session.Run(options, inputs, values, outputs);
            Interlocked.Add(ref tokens, sum);
            Interlocked.Add(ref padding, count * longest - sum);
            Interlocked.Increment(ref batches);
            Give(batch, results[0], longest);
        }
        finally
        {
            foreach (var value in values) value?.Dispose();
        }
    }

    public void Rest() => NativeRuntime.TrimHeap();

    public void Dispose()
    {
        session.Dispose();
        options.Dispose();
    }

    private OrtValue Fill(string input, List<Sequence> batch, int count, int longest)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, TensorElementType.Int64, [count, longest]);
        var into = value.GetTensorMutableDataAsSpan<long>();
        into.Fill(input is Ids ? padId : 0);
        for (var row = 0; row < count; row++)
        {
            var sequence = batch[row];
            var line = into.Slice(row * longest, longest);
            switch (input)
            {
                case Ids:
                    for (var i = 0; i < sequence.Ids.Length; i++) line[i] = sequence.Ids[i];
                    break;
                case Mask:
                    line[..sequence.Attended].Fill(1);
                    break;
                case Positions:
                    for (var i = 0; i < longest; i++) line[i] = Math.Min(i, sequence.Length - 1);
                    break;
                case Types when sequence.Types is { } types:
                    for (var i = 0; i < types.Length; i++) line[i] = types[i];
                    break;
            }
        }

        return value;
    }

    private void Give(List<Sequence> batch, OrtValue result, int longest)
    {
        var all = result.GetTensorDataAsSpan<float>();
        var row = all.Length / batch.Count;
        var width = Rank == 3 ? row / longest : row;
        for (var i = 0; i < batch.Count; i++)
        {
            var sequence = batch[i];
            sequence.Call.Give(sequence.Index, all.Slice(i * row, Rank == 3 ? sequence.Length * width : row), width);
        }
    }

    private static string Output(ModelFolder folder, InferenceSession session)
    {
        foreach (var (name, input) in session.InputMetadata)
        {
            if (name is not (Ids or Mask or Types or Positions))
                throw ModelFolder.Broken(folder.Files, folder.Graph, $"needs an input \"{name}\"; {Ids}, {Mask}, {Types} and {Positions} are supported");
            if (input.ElementDataType is not TensorElementType.Int64)
                throw ModelFolder.Broken(folder.Files, folder.Graph, $"needs \"{name}\" as {input.ElementDataType}; Int64 is supported");
        }

        var chosen = KnownOutputs.FirstOrDefault(session.OutputMetadata.ContainsKey) ?? session.OutputMetadata.Keys.First();
        var output = session.OutputMetadata[chosen];
        if (output.ElementDataType is not TensorElementType.Float || output.Dimensions.Length is not (2 or 3))
            throw ModelFolder.Broken(folder.Files, folder.Graph,
                $"gives \"{chosen}\" as {output.ElementDataType} with {output.Dimensions.Length} dimensions; Float with 2 or 3 is supported");
        return chosen;
    }

    /// <summary>One sequence of three tokens.</summary>
    private sealed class Trial : BatchCall
    {
        public Trial(int id)
        {
            Sequences = [new(this, 0, [id, id, id], null, 3)];
            Begin();
        }

        public int Width { get; private set; }

        protected override void Take(int index, ReadOnlySpan<float> row, int width) => Width = width;
    }
}
