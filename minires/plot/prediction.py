"""Images, each beside a bar chart of its most probable classes."""

from matplotlib.figure import Figure

from minires.plot.style import COLORS, save


def plot_guesses(images, guesses, path):
    """Each image with the probabilities of its most probable classes, as a PNG at `path`.

    images: {name: image of Pillow}; guesses: for each image a list of train.Guess.
    """
    figure = Figure(figsize=(8, 2.6 * len(images)), layout="constrained")
    rows = figure.subplots(len(images), 2, squeeze=False, width_ratios=(1, 1.4))
    for (picture, bars), (name, image), best in zip(rows, images.items(), guesses, strict=True):
        picture.imshow(image)
        picture.set_title(name, fontsize=9, color="0.35")
        picture.set_axis_off()
        classes = [guess.name.replace("_", " ") for guess in best]
        values = [100 * guess.probability for guess in best]
        drawn = bars.barh(range(len(best)), values, color=COLORS[0], height=0.6)
        bars.set_yticks(range(len(best)), classes)  # by position: two classes may have the same name
        bars.bar_label(drawn, fmt="%.1f %%", padding=4, color="0.35")
        bars.invert_yaxis()  # the most probable on top
        bars.set_xlim(0, 118)  # room for "100.0 %"
        bars.set_xticks([])
        bars.tick_params(left=False)
        bars.spines[["top", "right", "bottom"]].set_visible(False)
    return save(figure, path)
