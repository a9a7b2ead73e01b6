using Proxy.Inference;

namespace Proxy.Tests.Inference;

public sealed class BatchPlannerTests
{
    [Fact]
    public void Mixed_lengths_Waste_at_most_a_tenth()
    {
        var random = new Random(3);
        var line = Line([.. Enumerable.Range(0, 5000).Select(_ => 4 + (int)(252 * Math.Pow(random.NextDouble(), 2)))]);
        var (real, padded, most) = (0L, 0L, 0);
        var batch = new List<Sequence>();
        var planner = new BatchPlanner(1024);

        while (line.Count > 0)
        {
            planner.Take(line, batch);
            var area = batch.Count * batch.Max(static sequence => sequence.Length);
            real += batch.Sum(static sequence => sequence.Length);
            padded += area;
            most = Math.Max(most, area);
        }

        Assert.True((padded - real) / (double)padded <= 0.1, $"{(padded - real) / (double)padded:P1} wasted");
        Assert.InRange(most, 900, 1024);
    }

    [Fact]
    public void Every_sequence_Is_taken_once()
    {
        var line = Line([.. Enumerable.Range(0, 3000).Select(static i => 3 + i * 7919 % 300)]);
        var all = line.ToHashSet();
        var batch = new List<Sequence>();
        var planner = new BatchPlanner(512);

        while (line.Count > 0)
        {
            planner.Take(line, batch);
            Assert.NotEmpty(batch);
            Assert.All(batch, sequence => Assert.True(all.Remove(sequence)));
        }

        Assert.Empty(all);
    }

    [Fact]
    public void The_oldest_Is_in_the_batch_however_odd_its_length()
    {
        var line = Line([200, .. Enumerable.Repeat(20, 1000)]);
        var oldest = line.First!.Value;
        var batch = new List<Sequence>();

        new BatchPlanner(1024).Take(line, batch);

        Assert.Equal([oldest], batch);
        Assert.Equal(1000, line.Count);
    }

    [Fact]
    public void Longer_than_the_budget_Goes_alone()
    {
        var line = Line([3000, 3000, 10]);
        var batch = new List<Sequence>();

        new BatchPlanner(1024).Take(line, batch);

        Assert.Equal(3000, Assert.Single(batch).Length);
    }

    [Fact]
    public void Callers_who_left_Are_dropped()
    {
        var stays = new NoCall();
        var left = new NoCall();
        left.Leave(new CancellationToken(true));
        var line = new LinkedList<Sequence>([Of(left, 8), Of(stays, 8), Of(left, 8)]);
        var batch = new List<Sequence>();

        var dropped = new BatchPlanner(1024).Take(line, batch);

        Assert.Equal(2, dropped);
        Assert.Same(stays, Assert.Single(batch).Call);
        Assert.Empty(line);
    }

    internal static Sequence Of(BatchCall call, int length, int index = 0) => new(call, index, new int[length], null, length);

    private static LinkedList<Sequence> Line(int[] lengths)
    {
        var call = new NoCall();
        return new(lengths.Select(length => Of(call, length)));
    }

    internal sealed class NoCall : BatchCall
    {
        protected override void Take(int index, ReadOnlySpan<float> row, int width)
        {
        }
    }
}
